//! The suite of machines that run: each tool asks libvirt for their disks.

use std::fmt::Write;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::changed;
use super::course::{Counts, Course};
use super::measure;
use super::site::{Definition, Site};
use super::suites::Images;
use super::tools::Deed;
use crate::process;

const VM_A: &str = "vm-a";
const VM_B: &str = "vm-b";
/// Of the changes of day 2, one of so many is written.
const WRITTEN_SHARE: usize = 4;
/// Longest single write, in bytes.
const WRITE_BYTES_MAX: u64 = 1 << 20;
const MEMORY_MIB: u32 = 32;

/// Takes a tool through the rows of running machines.
pub(crate) fn run(course: &mut Course<'_>, images: &Images) -> Result<()> {
    let cache = course.work()?.join("libvirt-cache");
    let site = Site::begin(&cache)?;
    site.give(course.place.folder())?;
    let mut visit = Visit { course, site };
    visit.prepare()?;
    let image = visit.start(images, VM_A)?;
    visit.back_up("16a", VM_A, Deed::Full, Counts::new())?;
    if visit.course.wants(&["16b", "16c"]) {
        let changed = visit.write_day2(images)?;
        let counts = Counts::from([("changed".to_owned(), changed)]);
        visit.back_up("16b", VM_A, Deed::Increment, counts)?;
    }
    if visit.course.wants(&["16c"]) {
        visit.bring_back(&image)?;
    }
    visit.site.virsh(&["destroy", VM_A])?;
    fs::remove_file(&image).context("removing a machine's disk")?;
    if visit.course.wants(&["16d"]) {
        visit.start(images, VM_B)?;
        visit.back_up("16d", VM_B, Deed::Full, Counts::new())?;
    }
    Ok(())
}

/// A tool at a site.
struct Visit<'a, 'b> {
    course: &'a mut Course<'b>,
    site: Site,
}

impl Visit<'_, '_> {
    fn prepare(&mut self) -> Result<()> {
        let calls = self.calls(VM_A, Deed::Prepare)?;
        self.course.step(calls.unwrap_or_default(), "prepare")?;
        Ok(())
    }

    fn calls(&self, machine: &str, deed: Deed) -> Result<Option<Vec<measure::Call>>> {
        let course = &self.course;
        let calls = course
            .tool
            .on_site(&course.place, &self.site, machine, deed);
        let as_user = |call: measure::Call| {
            let command = self.site.command(&call.command)?;
            Ok(measure::Call { command, ..call })
        };
        let calls = calls.map(|calls| calls.into_iter().map(as_user).collect());
        calls.transpose()
    }

    /// Defines and starts a machine that has a disk of its own; gives that.
    fn start(&mut self, images: &Images, machine: &str) -> Result<PathBuf> {
        let base = as_qcow2(images, machine, self.course.work()?)?;
        let image = self.course.place.folder().join(format!("{machine}.qcow2"));
        let mut copy = Command::new("cp");
        process::quiet(copy.arg(&base).arg(&image))?;
        self.site.give(&image)?;
        self.site.define(&Definition {
            name: machine,
            memory_mib: MEMORY_MIB,
            disks: vec![("qcow2", image.clone())],
            serial: None,
        })?;
        self.site.virsh(&["start", machine])?;
        measure::warm(&image)?;
        Ok(image)
    }

    fn back_up(&mut self, row: &str, machine: &str, deed: Deed, mut counts: Counts) -> Result<()> {
        let Some(calls) = self.calls(machine, deed)? else {
            return Ok(());
        };
        let repository = self.course.place.repository();
        let before = measure::stored_bytes(&repository)?;
        let (shown, measured) = self.course.step(calls, row)?;
        let now = measure::stored_bytes(&repository)?;
        counts.insert("stored".to_owned(), now);
        counts.insert("added".to_owned(), now.saturating_sub(before));
        let shown = self.site.shortened(&shown);
        self.course.keep(row, shown, measured, counts)
    }

    fn bring_back(&mut self, image: &Path) -> Result<()> {
        let Some(calls) = self.calls(VM_A, Deed::BringBack)? else {
            return Ok(());
        };
        measure::warm(&self.course.place.repository())?;
        let (shown, measured) = self.course.step(calls, "16c")?;
        let target = self.course.place.target();
        let files = measure::files(&target)?;
        let largest = files.iter().max_by_key(|(_, bytes)| *bytes);
        let (restored, _) = largest.context("nothing was brought back")?;
        if self.course.round == 1 {
            let mut compare = Command::new("qemu-img");
            compare.args(["compare", "-q", "-U", "-f", "qcow2", "-F", "qcow2"]);
            compare.args([restored.as_path(), image]);
            process::quiet(&mut compare).context("what was brought back differs")?;
        }
        let allocated = measure::allocated_bytes(restored)?;
        self.course.place.empty_target()?;
        self.site.give(&target)?;
        let counts = Counts::from([("allocated".to_owned(), allocated)]);
        let shown = self.site.shortened(&shown);
        self.course.keep("16c", shown, measured, counts)
    }

    /// Lets the running machine write a part of what day 2 has; gives how many bytes.
    fn write_day2(&mut self, images: &Images) -> Result<u64> {
        let (list, _) = images.changed()?;
        let day2 = images.image("vm-a.day2.raw");
        let day2 = File::open(&day2).with_context(|| format!("opening {}", day2.display()))?;
        let pieces = self.site.path("pieces");
        fs::create_dir_all(&pieces).context("creating a folder of pieces")?;
        let (mut script, mut written) = (String::new(), 0);
        for (start, end) in changed::read(&list)?.into_iter().step_by(WRITTEN_SHARE) {
            let mut at = start;
            while at < end {
                let length = (end - at).min(WRITE_BYTES_MAX);
                let mut bytes = vec![0; usize::try_from(length)?];
                day2.read_exact_at(&mut bytes, at)
                    .context("reading day 2")?;
                let piece = pieces.join(at.to_string());
                fs::write(&piece, &bytes).context("writing a piece")?;
                writeln!(
                    script,
                    "qemu-monitor-command {VM_A} --hmp \"qemu-io -d \
                     /machine/peripheral/virtio-disk0/virtio-backend \
                     \\\"write -s {} {at} {length}\\\"\"",
                    piece.display()
                )?;
                (at, written) = (at + length, written + length);
            }
        }
        self.site.give(&pieces)?;
        self.site.script(&script)?;
        fs::remove_dir_all(&pieces).context("removing the pieces")?;
        ensure!(written > 0, "day 2 changes nothing");
        Ok(written)
    }
}

/// The image as qcow2, made once.
fn as_qcow2(images: &Images, machine: &str, work: &Path) -> Result<PathBuf> {
    let made = work.join(format!("{machine}.qcow2"));
    if !made.exists() {
        let part = work.join(format!("{machine}.qcow2.part"));
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", "qcow2"]);
        convert
            .arg(images.image(&format!("{machine}.raw")))
            .arg(&part);
        process::quiet(&mut convert)?;
        fs::rename(&part, &made).context("naming an image")?;
    }
    Ok(made)
}
