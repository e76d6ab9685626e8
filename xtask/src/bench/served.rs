//! The suite of disks that are read without a restore: over NBD, or through a mounted repository.
//!
//! fio reads in all cases. What is measured is how long it takes, and what the server needs.

use std::fmt::Write;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::course::{Counts, Course};
use super::measure::{self, Measured};
use super::noise::Noise;
use super::place::Place;
use super::site::wait_for;
use super::suites::Images;
use super::tools::{Backup, How, Lifeboat, Tool};
use crate::process;

/// The machine whose disk is served.
pub(crate) const SERVED: &str = "vm-a";
const IMAGE: &str = "vm-a.raw";
/// Where the repository of this suite lies, made once for all tools.
const FOLDER: &str = "served";
/// How many reads there are in a row of random ones, each of a page.
const READS: usize = 4000;
const PAGE_BYTES: u64 = 4096;
/// Requests under way where the disk is read in order.
const IN_ORDER_DEPTH: usize = 4;

/// The unit of times in `/proc/PID/stat`, the same on every processor that Debian knows.
const TICKS_PER_SECOND: u64 = 100;

/// Rows that follow each other on one server: name and way of reading.
const VISITS: [[(&str, Way); 2]; 3] = [
    [("17a", Way::Random(1, 1)), ("17b", Way::Random(1, 2))],
    [("17c", Way::Random(16, 3)), ("17d", Way::Random(16, 4))],
    [("17e", Way::InOrder), ("17f", Way::InOrder)],
];

/// How the disk is read.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Pages at places that a number stands for, so many at a time.
    Random(usize, u64),
    /// From its beginning to its end.
    InOrder,
}

/// A server of the disk.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) command: Command,
    pub(crate) door: Door,
}

/// Where readers find the disk.
#[derive(Debug)]
pub(crate) enum Door {
    /// As the export `vda` at the socket that was asked for.
    Nbd,
    /// As this file, in a mounted file system.
    File(PathBuf),
}

/// Takes a tool through the rows of served disks.
pub(crate) fn run(course: &mut Course<'_>, images: &Images) -> Result<()> {
    let folder = repository(course, images)?;
    symlink(&folder, course.place.repository()).context("entering a repository")?;
    course.place.link(&images.image(IMAGE))?;
    let pages = pages(&images.image(IMAGE))?;
    for visit in VISITS {
        let rows = visit.map(|(row, _)| row);
        if course.wants(&rows) {
            measure::warm(&course.place.source())?;
            measure::warm(&folder)?;
            serve(course, &pages, &visit)?;
        }
    }
    dump(course)
}

/// The repository with one snapshot of the machine, made by lifeboat.
fn repository(course: &Course<'_>, images: &Images) -> Result<PathBuf> {
    let folder = course.work()?.join(FOLDER);
    if !folder.exists() {
        let place = Place::create(&folder.with_extension("part"))?;
        place.link(&images.image(IMAGE))?;
        let lifeboat = Lifeboat::new(images.lifeboat());
        let backup = Backup {
            label: "served",
            machine: SERVED,
            how: How::Usual,
        };
        let calls = lifeboat.init(&place).into_iter();
        for mut call in calls.chain(lifeboat.backup(&place, backup).into_iter().flatten()) {
            process::quiet(&mut call.command)?;
        }
        place.unlink()?;
        fs::rename(place.folder(), &folder).context("naming what was made")?;
    }
    Ok(folder.join("state/repository"))
}

/// Beginnings of ranges that hold data, with the count of pages before each; and that of all.
struct Pages {
    ranges: Vec<(u64, u64)>,
    count: u64,
}

fn pages(image: &Path) -> Result<Pages> {
    let file = File::open(image).with_context(|| format!("opening {}", image.display()))?;
    let (mut ranges, mut count, mut at) = (Vec::new(), 0, 0);
    while let Some((from, to)) = measure::data_extent(&file, at)? {
        ranges.push((count, from));
        count += (to - from) / PAGE_BYTES;
        at = to;
    }
    Ok(Pages { ranges, count })
}

impl Pages {
    /// Offsets of so many pages; the same for the same seed.
    fn pick(&self, seed: u64, count: usize) -> Vec<u64> {
        let mut noise = Noise::new(seed);
        let mut one = || {
            let page = noise.below(self.count);
            let index = self.ranges.partition_point(|(before, _)| *before <= page);
            let (before, from) = self.ranges.get(index.saturating_sub(1)).unwrap_or(&(0, 0));
            from + (page - before) * PAGE_BYTES
        };
        (0..count).map(|_| one()).collect()
    }
}

/// A server that runs.
struct Served {
    child: Child,
    source: Source,
}

/// What fio reads.
enum Source {
    Nbd(String),
    File(PathBuf),
}

fn serve(course: &mut Course<'_>, pages: &Pages, visit: &[(&'static str, Way)]) -> Result<()> {
    let socket = std::env::temp_dir().join(format!("lb-bench-{}.sock", std::process::id()));
    let Some(mut service) = course.tool.serve(&course.place, &socket) else {
        return Ok(());
    };
    let shown = course.shown_command(&service.command);
    let shown = shown.replace(&socket.display().to_string(), "disk.sock");
    let log = File::create(course.log("served").with_extension("err"))?;
    let command = service.command.stdin(Stdio::null());
    let child = command.stdout(log.try_clone()?).stderr(log).spawn();
    let child = child.with_context(|| format!("starting {shown}"))?;
    let source = match service.door {
        Door::Nbd => Source::Nbd(format!("nbd+unix:///vda?socket={}", socket.display())),
        Door::File(path) => Source::File(path),
    };
    let served = Served { child, source };
    wait_for("the server", || served.is_ready())?;
    for (row, way) in visit {
        let read = measure::quietly(|| served.read(course, *way, pages));
        let (measured, counts) = read?;
        course.keep(row, shown.clone(), measured, counts)?;
    }
    served.stop()?;
    // Left by servers that do not tidy up.
    let _ = fs::remove_file(&socket);
    Ok(())
}

impl Served {
    fn is_ready(&self) -> bool {
        match &self.source {
            Source::Nbd(uri) => process::succeeds(Command::new("nbdinfo").args(["--size", uri])),
            Source::File(path) => path.exists(),
        }
    }

    fn read(&self, course: &Course<'_>, way: Way, pages: &Pages) -> Result<(Measured, Counts)> {
        let mut command = self.fio(course, way, pages)?;
        let before = self.cpu()?;
        let text = process::output(&mut command)?;
        let cpu = self.cpu()?.saturating_sub(before);
        let (runtime, counts) = told(&text)?;
        let measured = Measured {
            wall: runtime,
            durable: runtime,
            cpu,
            resident_bytes: self.resident_bytes()?,
        };
        Ok((measured, counts))
    }

    fn fio(&self, course: &Course<'_>, way: Way, pages: &Pages) -> Result<Command> {
        let mut command = Command::new("fio");
        command.args(["--name=reads", "--output-format=json"]);
        match &self.source {
            Source::Nbd(uri) => command.args(["--ioengine=nbd", &format!("--uri={uri}")]),
            Source::File(_) => command.args(["--ioengine=psync", "--thread"]),
        };
        match way {
            Way::Random(depth, seed) => {
                let lists = self.lists(course, depth, &pages.pick(seed, READS))?;
                command.arg(format!("--read_iolog={lists}"));
                command.arg("--replay_no_stall=1");
                match self.source {
                    Source::Nbd(_) => command.arg(format!("--iodepth={depth}")),
                    Source::File(_) => {
                        command.args(["--group_reporting", &format!("--numjobs={depth}")])
                    }
                };
            }
            Way::InOrder => {
                command.args(["--rw=read", "--bs=1M"]);
                match &self.source {
                    Source::Nbd(_) => command.arg(format!("--iodepth={IN_ORDER_DEPTH}")),
                    Source::File(path) => command.arg(format!("--filename={}", path.display())),
                };
            }
        }
        Ok(command)
    }

    /// Lists of reads for fio, one for each job, their names joined by colons.
    fn lists(&self, course: &Course<'_>, depth: usize, offsets: &[u64]) -> Result<String> {
        let (jobs, file) = match &self.source {
            Source::Nbd(_) => (1, "disk".to_owned()),
            Source::File(path) => (depth, path.display().to_string()),
        };
        let mut names = Vec::new();
        for job in 0..jobs {
            let mut text = format!("fio version 2 iolog\n{file} add\n{file} open\n");
            for offset in offsets.iter().skip(job).step_by(jobs) {
                writeln!(text, "{file} read {offset} {PAGE_BYTES}")?;
            }
            writeln!(text, "{file} close")?;
            let list = course.place.home().join(format!("reads-{job}"));
            fs::write(&list, text).context("writing a list of reads")?;
            names.push(list.display().to_string());
        }
        Ok(names.join(":"))
    }

    /// What the server has computed, and the kernel for it.
    fn cpu(&self) -> Result<Duration> {
        let text = self.proc("stat")?;
        let fields = text.rsplit(')').next().unwrap_or_default();
        let fields = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|it| it.parse().unwrap_or(0)).sum();
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    fn resident_bytes(&self) -> Result<u64> {
        let text = self.proc("status")?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.unwrap_or_default().trim().trim_end_matches(" kB");
        let kibibytes: u64 = kibibytes
            .parse()
            .context("reading a server's peak memory")?;
        Ok(kibibytes << 10)
    }

    fn proc(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    }

    /// Asks the server to end, as Ctrl-C does, and waits for it.
    fn stop(mut self) -> Result<()> {
        let mut kill = Command::new("kill");
        process::quiet(kill.args(["-INT", &self.child.id().to_string()]))?;
        self.child.wait().context("waiting for a server").map(drop)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Both fail where it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Source::File(path) = &self.source {
            let mounted = path.ancestors().nth(4).unwrap_or(path);
            let mut unmount = Command::new("fusermount");
            process::succeeds(unmount.args(["-u", "-z"]).arg(mounted));
        }
    }
}

/// How long fio read, and at which rate.
fn told(text: &str) -> Result<(Duration, Counts)> {
    let json = text.find('{').map_or("", |start| &text[start..]);
    let value: Value = serde_json::from_str(json).context("reading what fio says")?;
    let read = &value["jobs"][0]["read"];
    let runtime = read["runtime"].as_u64().context("fio has read nothing")?;
    let rounded = |value: &Value, unit: f64| (value.as_f64().unwrap_or(0.0) / unit).round() as u64;
    let percentile = &read["clat_ns"]["percentile"];
    let counts = Counts::from([
        ("iops".to_owned(), rounded(&read["iops"], 1.0)),
        (
            "rate".to_owned(),
            rounded(&read["bw_bytes"], 1024.0 * 1024.0),
        ),
        ("median".to_owned(), rounded(&percentile["50.000000"], 1e3)),
        ("p99".to_owned(), rounded(&percentile["99.000000"], 1e3)),
    ]);
    Ok((Duration::from_millis(runtime), counts))
}

/// The row of a whole disk, for tools that can only write it somewhere.
fn dump(course: &mut Course<'_>) -> Result<()> {
    let Some(call) = course.tool.dump(&course.place) else {
        return Ok(());
    };
    if !course.wants(&["17e"]) {
        return Ok(());
    }
    let bytes = fs::metadata(course.place.source())?.len();
    let (shown, measured) = course.step(vec![call], "dump")?;
    let rate = bytes as f64 / measured.wall.as_secs_f64() / f64::from(1 << 20);
    let counts = Counts::from([("rate".to_owned(), rate.round() as u64)]);
    course.keep("17e", shown, measured, counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picked_pages_hold_data() {
        let ranges = vec![(0, 8192), (2, 1 << 20), (3, 1 << 30)];
        let pages = Pages { ranges, count: 5 };
        let picked = pages.pick(1, 100);
        let is_data = |at: &u64| {
            let at = *at;
            (8192..16384).contains(&at)
                || at == 1 << 20
                || (1 << 30..(1 << 30) + 8192).contains(&at)
        };
        assert!(picked.iter().all(is_data), "{picked:?}");
        assert_eq!(picked, pages.pick(1, 100));
        assert_ne!(picked, pages.pick(2, 100));
    }

    #[test]
    fn what_fio_says_is_understood_behind_its_greeting() {
        let text = "fio: connected to NBD server\n{\"jobs\": [{\"read\": {\"runtime\": 1500, \
                    \"iops\": 722.4, \"bw_bytes\": 3145728, \"clat_ns\": {\"percentile\": \
                    {\"50.000000\": 733184, \"99.000000\": 7962624}}}}]}";
        let (runtime, counts) = told(text).unwrap();
        assert_eq!(runtime, Duration::from_millis(1500));
        let values: Vec<_> = counts.into_values().collect();
        assert_eq!(values, [722, 733, 7963, 3]);
        assert!(told("nothing").is_err());
    }
}
