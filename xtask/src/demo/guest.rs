//! A machine running from a disk under QEMU, without KVM and without a network.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::monitor::Monitor;

/// How long a boot may take; on two cores it takes about 20 s.
const BOOT_LIMIT: Duration = Duration::from_secs(180);
const POWER_DOWN_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// The guest begins each of its lines so; the last comes when its screen shows a login prompt.
const MARK: &str = "lifeboat-guest: ";
const READY: &str = "lifeboat-guest: ready";

const QEMU: [&str; 20] = [
    "-accel",
    "tcg,thread=multi",
    "-cpu",
    "max,la57=off",
    "-smp",
    "2",
    "-m",
    "768",
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-vga",
    "std",
    "-nic",
    "none",
    "-no-reboot",
    "-qmp",
    "stdio",
    "-serial",
];

/// What a guest said when it was up.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) text: String,
    pub(crate) elapsed: Duration,
}

impl Report {
    /// The newest line of the guest's journal: of the boot that reported.
    pub(crate) fn last_entry(&self) -> Result<&str> {
        self.text
            .lines()
            .rfind(|line| line.starts_with("boot "))
            .context("the guest has no entry")
    }
}

/// A running guest; it is stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    process: Child,
    monitor: Monitor,
    began: Instant,
    /// Path without extension for what the guest leaves: serial log and screen.
    traces: PathBuf,
}

impl Guest {
    /// Starts QEMU on a disk; the guest boots by itself.
    pub(crate) fn boot(folder: &Path, name: &str, disk: &Path, format: &str) -> Result<Self> {
        let began = Instant::now();
        let traces = folder.join(name);
        let errors = File::create(traces.with_extension("errors"))?;
        let mut command = Command::new("qemu-system-x86_64");
        command.args(QEMU).arg(format!(
            "file:{}",
            traces.with_extension("serial").display()
        ));
        let drive = format!(
            "file={},if=virtio,format={format},cache=unsafe",
            disk.display()
        );
        command.arg("-drive").arg(drive);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut process = command.spawn().context("starting QEMU")?;
        let input = process.stdin.take().context("QEMU has no input")?;
        let output = process.stdout.take().context("QEMU has no output")?;
        let monitor = match Monitor::open(input, output) {
            Ok(monitor) => monitor,
            Err(error) => return Err(error.context(ended(&mut process, &traces))),
        };
        Ok(Self {
            process,
            monitor,
            began,
            traces,
        })
    }

    /// Waits until the guest has said everything.
    pub(crate) fn report(&mut self) -> Result<Report> {
        while self.began.elapsed() < BOOT_LIMIT {
            let log = self.serial_log()?;
            if log.contains(READY) {
                return Ok(Report {
                    text: marked_lines(&log),
                    elapsed: self.began.elapsed(),
                });
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("QEMU ended with {status} before the guest was up\n{log}");
            }
            thread::sleep(POLL);
        }
        bail!(
            "the guest was not up after {BOOT_LIMIT:?}\n{}",
            self.serial_log()?
        )
    }

    /// Takes a picture of the guest's screen and gives its file name; a guest that has reported
    /// shows its login prompt.
    pub(crate) fn screenshot(&mut self) -> Result<String> {
        let picture = self.traces.with_extension("png");
        let arguments = json!({ "filename": picture, "format": "png" });
        self.monitor.execute("screendump", &arguments)?;
        let name = picture.file_name().unwrap_or_default();
        Ok(name.to_string_lossy().into_owned())
    }

    /// Presses the power button and waits until QEMU has ended by itself.
    pub(crate) fn power_down(mut self) -> Result<Duration> {
        let began = Instant::now();
        self.monitor.execute("system_powerdown", &json!({}))?;
        while began.elapsed() < POWER_DOWN_LIMIT {
            if let Some(status) = self.process.try_wait()? {
                return match status.success() {
                    true => Ok(began.elapsed()),
                    false => bail!("QEMU ended with {status}"),
                };
            }
            thread::sleep(POLL);
        }
        bail!("the guest did not shut down within {POWER_DOWN_LIMIT:?}")
    }

    fn serial_log(&self) -> Result<String> {
        let content = fs::read(self.traces.with_extension("serial")).unwrap_or_default();
        Ok(String::from_utf8_lossy(&content).into_owned())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail when the process has ended already, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Stops a QEMU that does not speak, and gives what it said instead.
fn ended(process: &mut Child, traces: &Path) -> String {
    // Fails when it has ended by itself, which is the likely case.
    let _ = process.kill();
    let _ = process.wait();
    let words = fs::read_to_string(traces.with_extension("errors")).unwrap_or_default();
    format!("QEMU did not start: {}", words.trim())
}

fn marked_lines(log: &str) -> String {
    let lines = log
        .lines()
        .filter_map(|line| line.trim_end().split_once(MARK));
    lines
        .map(|(_, line)| line)
        .filter(|line| *line != "ready")
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_holds_the_guests_own_lines() {
        let log = "SeaBIOS\r\nlifeboat-guest: demo01 booted, journal holds 1 entry\r\n\
            [ 3.1] noise\r\nlifeboat-guest: boot 1 abc, work def whole\r\n\
            lifeboat-guest: ready\r\n";
        let report = Report {
            text: marked_lines(log),
            elapsed: Duration::ZERO,
        };
        assert_eq!(report.text.lines().count(), 2);
        assert_eq!(report.last_entry().unwrap(), "boot 1 abc, work def whole");
    }
}
