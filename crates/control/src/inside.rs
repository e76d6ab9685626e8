//! Hooks inside restored disks: in a machine of its own that has them, never on this host.
//!
//! What a restored system runs may do anything to its disks, and only to them: the machine has
//! no network and nothing of this host.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use lifeboat_model::{CancelToken, DiskName, ErrorKind};
use lifeboat_platform::LocalDisk;
use lifeboat_rescue::{Access, Command, Disk, DiskFormat, DiskPlace, Rescue, Settings};

use crate::error::chain;
use crate::files::of_rescue;
use crate::hook::{Hook, HookEnd, HookRun, OUTPUT_BYTES_MAX};
use crate::{Error, Result};

/// Where programs are in a restored system.
const PROGRAMS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A way into restored disks.
pub trait WayInside {
    /// Begins to work inside these disks, which nobody else uses until the work is done.
    fn enter(&self, disks: &[(DiskName, LocalDisk)]) -> Result<Box<dyn InsideDisks + '_>>;
}

/// Restored disks that are being worked in. When dropped, what was done may be there in part.
pub trait InsideDisks {
    /// Runs a hook to its end.
    fn run(&mut self, hook: &Hook, facts: &[(String, String)]) -> HookRun;

    /// Ends the work: all of it is durable on the disks.
    fn leave(self: Box<Self>) -> Result<()>;
}

/// The way by a rescue VM that writes.
pub struct RescueVm<'a> {
    /// How it is started.
    pub settings: Settings,
    /// Ends it early.
    pub cancel: &'a CancelToken,
}

struct Booted {
    rescue: Rescue,
    paths: Vec<PathBuf>,
}

impl WayInside for RescueVm<'_> {
    fn enter(&self, disks: &[(DiskName, LocalDisk)]) -> Result<Box<dyn InsideDisks + '_>> {
        let paths = disks.iter().map(|(_, disk)| disk.path.clone()).collect();
        let disks: Vec<Disk> = disks.iter().map(|(name, disk)| of(name, disk)).collect();
        let rescue = Rescue::start(&disks, Access::Write, &self.settings, self.cancel);
        let rescue = rescue.map_err(|e| of_rescue("cannot work inside the restored disks", e))?;
        Ok(Box::new(Booted { rescue, paths }))
    }
}

fn of(name: &DiskName, disk: &LocalDisk) -> Disk {
    use lifeboat_disk::ImageFormat;
    Disk {
        name: name.to_string(),
        place: DiskPlace::Local {
            path: disk.path.clone(),
            format: match disk.format {
                ImageFormat::Raw => DiskFormat::Raw,
                ImageFormat::Qcow2 => DiskFormat::Qcow2,
            },
            bytes: disk.size,
        },
    }
}

impl InsideDisks for Booted {
    fn run(&mut self, hook: &Hook, facts: &[(String, String)]) -> HookRun {
        let path = [("PATH".to_owned(), PROGRAMS.to_owned())];
        let command = Command {
            words: hook.words.clone(),
            environment: path.into_iter().chain(facts.iter().cloned()).collect(),
            limit: hook.limit,
            output_bytes_max: OUTPUT_BYTES_MAX,
        };
        let began = Instant::now();
        let (end, output) = match self.rescue.run(&command) {
            Ok(ran) if ran.is_timed_out => (HookEnd::TimedOut, ran.output),
            Ok(ran) => {
                let code = i32::try_from(ran.code).unwrap_or(i32::MAX);
                (HookEnd::Code(code), ran.output)
            }
            Err(error) if error.kind() == ErrorKind::Cancelled => (HookEnd::Cancelled, Vec::new()),
            Err(error) => (HookEnd::NotStarted(chain(&error)), Vec::new()),
        };
        HookRun::ended(hook, began, end, &output)
    }

    fn leave(self: Box<Self>) -> Result<()> {
        let ended = self.rescue.finish();
        ended.map_err(|e| of_rescue("cannot end the work inside the restored disks", e))?;
        for path in &self.paths {
            let synced = File::open(path).and_then(|file| file.sync_all());
            synced.map_err(|e| {
                let doing = format!("cannot make {} durable", path.display());
                Error::new(ErrorKind::of_io(&e), doing).with_source(e)
            })?;
        }
        Ok(())
    }
}
