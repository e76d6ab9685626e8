//! The machine that was measured on, as the document tells it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::first_line;

/// How much is written to see how fast the disk is.
const WRITTEN_MIB: u32 = 1024;
/// Options whose values are places of one machine.
const PLACES: [&str; 4] = ["--data", "--work", "--lifeboat", "--document"];

/// What the figures depend on, and when they were taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    /// Of a file that is written from its beginning to its end and made durable.
    pub(crate) disk_mib_per_second: u64,
    pub(crate) date: String,
    /// The words after `cargo xtask`, without places.
    pub(crate) command: String,
}

impl Machine {
    /// Asks the system; writes a file into the folder and removes it.
    pub(crate) fn look(folder: &Path, words: &[String]) -> Result<Self> {
        let processors = fs::read_to_string("/proc/cpuinfo").context("reading /proc/cpuinfo")?;
        let memory = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
        let cores = std::thread::available_parallelism().context("counting cores")?;
        let kibibytes = field(&memory, "MemTotal").trim_end_matches(" kB").parse();
        Ok(Self {
            processor: field(&processors, "model name").to_owned(),
            cores: cores.get(),
            memory_mib: kibibytes.unwrap_or(0) / 1024,
            kernel: first_line(Command::new("uname").arg("-sr"))?,
            disk_mib_per_second: write_rate(&folder.join("rate"))?,
            date: first_line(Command::new("date").arg("+%F"))?,
            command: command(words),
        })
    }

    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("reading {}: nothing was measured yet", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("writing what the machine is")?;
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    }
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(key, _)| key.trim() == name);
    found.map_or("unknown", |(_, value)| value.trim())
}

/// The command line with places left open.
fn command(words: &[String]) -> String {
    let mut shown = vec!["bench"];
    for (index, word) in words.iter().enumerate() {
        let flag = index.checked_sub(1).map(|before| words[before].as_str());
        let is_place = flag.is_some_and(|flag| PLACES.contains(&flag));
        shown.push(if is_place { "PLACE" } else { word });
    }
    shown.join(" ")
}

fn write_rate(path: &Path) -> Result<u64> {
    let block = vec![0x5a; 1 << 20];
    let began = Instant::now();
    let mut file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    for _ in 0..WRITTEN_MIB {
        file.write_all(&block).context("measuring the disk")?;
    }
    file.sync_all().context("measuring the disk")?;
    let seconds = began.elapsed().as_secs_f64();
    fs::remove_file(path).context("removing what the disk was measured with")?;
    Ok((f64::from(WRITTEN_MIB) / seconds) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_left_open() {
        let words = ["--rounds", "2", "--data", "somewhere/else", "--rows", "1,2"];
        let shown = command(&words.map(String::from));
        assert_eq!(shown, "bench --rounds 2 --data PLACE --rows 1,2");
    }

    #[test]
    fn fields_are_found_by_name() {
        assert_eq!(
            field("a : b\nmodel name\t: Some CPU\n", "model name"),
            "Some CPU"
        );
        assert_eq!(field("", "model name"), "unknown");
    }
}
