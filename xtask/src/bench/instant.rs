//! The suite of machines that are started again after their loss.
//!
//! They have Debian on a disk that boots by itself, with a kernel that speaks on the serial line
//! from its beginning. One is small; of the other, disks are large.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::course::{Counts, Course};
use super::measure::{self, Call};
use super::place::Place;
use super::site::{Definition, Site, wait_for};
use super::suites::Images;
use super::tools::{Deed, Lifeboat, Tool};
use crate::demo::{PARTITION_START, image};
use crate::install;
use crate::process;

/// What is made once for all tools lies here.
const FOLDER: &str = "instant";
const ROWS: [(&str, &str); 2] = [("18a", "small"), ("18b", "large")];
const MEMORY_MIB: u32 = 768;
const LARGE_BYTES: u64 = 64 << 30;

/// A machine that is lost.
#[derive(Debug)]
pub(crate) struct Fallen {
    name: &'static str,
    /// Its plain images, from `vda` on.
    images: Vec<PathBuf>,
    serial: PathBuf,
}

impl Fallen {
    fn of(name: &'static str, work: &Path) -> Self {
        let folder = work.join(FOLDER);
        let mut images = vec![folder.join(format!("images/{name}/vda.raw"))];
        if name == "large" {
            images.push(folder.join("images/large/vdb.raw"));
        }
        Self {
            name,
            images,
            serial: work.join(format!("serial/{name}.log")),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    pub(crate) fn images(&self) -> &[PathBuf] {
        &self.images
    }

    fn definition(&self, disks: &[PathBuf]) -> Definition<'_> {
        Definition {
            name: self.name,
            memory_mib: MEMORY_MIB,
            disks: disks.iter().map(|path| ("raw", path.clone())).collect(),
            serial: Some(self.serial.clone()),
        }
    }

    /// The command that runs the machine with disks that were copied to the target.
    pub(crate) fn create(&self, place: &Place, site: &Site) -> Command {
        let file = site.path(&format!("{}.xml", self.name));
        let names = self.images.iter().filter_map(|it| it.file_name());
        let disks: Vec<_> = names
            .map(|name| place.target().join("disks").join(name))
            .collect();
        // A file that cannot be written is missed by virsh.
        let _ = fs::write(&file, self.definition(&disks).xml());
        site.virsh_command(&["create", &file.display().to_string()])
    }
}

/// Takes a tool through the rows of machines that are started again.
pub(crate) fn run(course: &mut Course<'_>, images: &Images) -> Result<()> {
    let work = course.work()?.to_owned();
    let cache = work.join("libvirt-cache");
    let machines = ROWS.map(|(_, name)| Fallen::of(name, &work));
    prepare(course, images, &machines, &cache)?;
    for ((row, _), fallen) in ROWS.iter().zip(&machines) {
        if course.wants(&[row]) {
            start_again(course, row, fallen, &cache)?;
        }
    }
    Ok(())
}

/// Makes images and the repository that has backups of the machines, unless they are there.
fn prepare(
    course: &mut Course<'_>,
    data: &Images,
    machines: &[Fallen],
    cache: &Path,
) -> Result<()> {
    let work = course.work()?.to_owned();
    let folder = work.join(FOLDER);
    fs::create_dir_all(work.join("serial")).context("creating a folder of serial lines")?;
    if !folder.join("done").exists() {
        install::for_demo(course.narrator)?;
        make_images(course, data, &folder)?;
        let site = Site::begin(cache)?;
        let place = Place::create(&folder.join("place"))?;
        site.give(&folder)?;
        site.give(&work.join("serial"))?;
        let lifeboat = Lifeboat::new(data.lifeboat());
        for fallen in machines {
            site.define(&fallen.definition(&fallen.images))?;
        }
        let deeds = [
            ("", Deed::Prepare),
            (machines[0].name, Deed::Full),
            (machines[1].name, Deed::Full),
        ];
        for (name, deed) in deeds {
            let calls = lifeboat.on_site(&place, &site, name, deed);
            for call in calls.into_iter().flatten() {
                process::quiet(&mut site.command(&call.command)?)?;
            }
        }
        File::create(folder.join("done")).context("noting that all is there")?;
    }
    symlink(
        folder.join("place/state/repository"),
        course.place.repository(),
    )
    .context("entering a repository")
}

fn make_images(course: &mut Course<'_>, data: &Images, folder: &Path) -> Result<()> {
    for name in ["images/small", "images/large"] {
        fs::create_dir_all(folder.join(name)).context("creating a folder of images")?;
    }
    let made = folder.join("made.qcow2");
    image::make(course.narrator, folder, &made)?;
    let small = folder.join("images/small/vda.raw");
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", "qcow2", "-O", "raw"]);
    process::quiet(convert.arg(&made).arg(&small))?;
    fs::remove_file(&made).context("removing what was converted")?;
    let_the_kernel_speak(&small, folder)?;
    let large = folder.join("images/large");
    for (from, to) in [
        (small, large.join("vda.raw")),
        (data.image("vm-a.raw"), large.join("vdb.raw")),
    ] {
        let mut copy = Command::new("cp");
        process::quiet(copy.arg("--sparse=always").arg(from).arg(to))?;
    }
    let disk = File::options().write(true).open(large.join("vda.raw"))?;
    disk.set_len(LARGE_BYTES).context("giving a disk its size")
}

/// Changes the boot loader's settings in the image: the demo's kernel is told to be quiet.
fn let_the_kernel_speak(disk: &Path, folder: &Path) -> Result<()> {
    let settings = include_str!("../../guest/grub.cfg").replace(" quiet loglevel=3", "");
    let file = folder.join("grub.cfg");
    fs::write(&file, settings).context("writing the boot loader's settings")?;
    let partition = format!("{}?offset={PARTITION_START}", disk.display());
    for request in [
        "rm /boot/grub/grub.cfg".to_owned(),
        format!("write {} /boot/grub/grub.cfg", file.display()),
    ] {
        let mut debugfs = Command::new("debugfs");
        process::quiet(debugfs.args(["-w", "-R", &request, &partition]))?;
    }
    Ok(())
}

fn start_again(course: &mut Course<'_>, row: &str, fallen: &Fallen, cache: &Path) -> Result<()> {
    let site = Site::begin(cache)?;
    let disks = course.place.target().join("disks");
    fs::create_dir_all(&disks).context("creating a target")?;
    for folder in ["home", "cache"] {
        site.give(&course.place.folder().join("state").join(folder))?;
    }
    site.give(&course.place.target())?;
    let as_user = |calls: Vec<Call>| {
        let one = |call: Call| Ok(Call::from(site.command(&call.command)?));
        calls.into_iter().map(one).collect::<Result<Vec<_>>>()
    };
    let Some(calls) = course.tool.start_again(&course.place, &site, fallen) else {
        return Ok(());
    };
    let calls = as_user(calls)?;
    for image in &fallen.images {
        measure::warm(image)?;
    }
    measure::warm(&course.place.repository())?;
    let shown = site.shortened(&course.shown(&calls));
    let log = course.log(row);
    let _ = fs::remove_file(&fallen.serial);
    let (measured, console) = measure::quietly(|| {
        let began = Instant::now();
        let measured = measure::run_all(calls, &log)?;
        wait_for("the guest's console", || has_line(&fallen.serial))?;
        Ok((measured, began.elapsed()))
    })?;
    if let Some(calls) = course.tool.remove_again(&course.place, &site, fallen) {
        measure::run_all(as_user(calls)?, &log)?;
    }
    drop(site);
    course.place.empty_target()?;
    let milliseconds = u64::try_from(console.as_millis()).unwrap_or(u64::MAX);
    let counts = Counts::from([("console".to_owned(), milliseconds)]);
    course.keep(row, shown, measured, counts)
}

/// Whether the guest's kernel has written a line; the firmware and the boot loader do not.
fn has_line(serial: &Path) -> bool {
    fs::read(serial).is_ok_and(|bytes| bytes.contains(&b'\n'))
}
