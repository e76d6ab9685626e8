//! `cargo xtask demo`: lifeboat's main job, done for real in front of you.
//!
//! A Debian machine is made on the spot, backed up, run so that it changes, backed up again by
//! QEMU's dirty bitmap, checked, restored, compared byte for byte, and started from its backup.
//! Every judgement comes from a program that is not ours: qemu-img, the stock restic, and the
//! restored guest itself. At last the service keeps the disk for a moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::install;
use crate::narrator::Narrator;
use crate::process;
use crate::workspace::Workspace;

mod bitmap;
mod boot_sector;
mod figures;
mod guest;
pub(crate) mod image;
mod judge;
mod lifeboat;
mod monitor;
mod service;

pub(crate) use boot_sector::PARTITION_START;
use figures::Figures;
use guest::{Guest, Report};
use lifeboat::{Backup, Lifeboat};

/// The machine, everywhere: host name of the guest, label of its file system, name in backups.
const MACHINE: &str = "demo01";
/// The dirty bitmap that records what the guest changes.
const BITMAP: &str = "lifeboat0";
const MIB: f64 = 1024.0 * 1024.0;

/// Where the demo keeps its things.
#[derive(Debug)]
struct Places {
    folder: PathBuf,
}

impl Places {
    fn image(&self) -> PathBuf {
        self.folder.join("demo01.qcow2")
    }

    fn restored(&self) -> PathBuf {
        self.folder.join("restored.raw")
    }

    fn definition(&self) -> PathBuf {
        self.folder.join("machine.xml")
    }
}

/// The demo while it goes on.
#[derive(Debug)]
struct Demo {
    narrator: Narrator,
    places: Places,
    lifeboat: Lifeboat,
    figures: Figures,
}

/// Where the transcript of the last demo lies, for the picture.
pub(crate) fn transcript(workspace: &Workspace) -> PathBuf {
    workspace.target.join("demo/transcript.ansi")
}

/// Builds lifeboat unless a program is given, and shows its main job.
pub(crate) fn run(workspace: &Workspace, program: Option<&Path>) -> Result<()> {
    let program = match program {
        Some(program) => program.to_owned(),
        None => build(workspace)?,
    };
    let mut demo = Demo::begin(workspace, &program)?;
    let began = Instant::now();
    demo.prepare()?;
    demo.back_up_whole()?;
    let changed = demo.run_guest()?;
    demo.back_up_changes()?;
    demo.check()?;
    demo.restore()?;
    demo.start_restored(&changed)?;
    demo.serve()?;
    demo.finish(began.elapsed());
    Ok(())
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    eprintln!("building lifeboat (release): some minutes, once");
    process::run(&mut workspace.cargo(&["build", "--release", "--locked", "--bin", "lifeboat"]))?;
    Ok(workspace.target.join("release/lifeboat"))
}

impl Demo {
    fn begin(workspace: &Workspace, program: &Path) -> Result<Self> {
        let folder = workspace.target.join("demo");
        remove_leftovers(&folder)?;
        fs::create_dir_all(&folder).context("creating the demo's folder")?;
        let mut narrator = Narrator::new().with_transcript(&transcript(workspace))?;
        narrator.title("lifeboat demo: a machine is backed up, changes, is lost, and comes back");
        let places = Places { folder };
        let lifeboat = Lifeboat::new(program, &places.folder)?;
        Ok(Self {
            narrator,
            places,
            lifeboat,
            figures: Figures::default(),
        })
    }

    fn prepare(&mut self) -> Result<()> {
        self.narrator
            .step("A real machine: Debian with its own boot loader, made on the spot");
        install::for_demo(&mut self.narrator)?;
        let began = Instant::now();
        image::make(
            &mut self.narrator,
            &self.places.folder,
            &self.places.image(),
        )?;
        fs::write(
            self.places.definition(),
            include_str!("../guest/machine.xml"),
        )
        .context("writing the machine's definition")?;
        self.figures.add(
            "machine made",
            began.elapsed(),
            image::told(&self.places.image())?,
        );
        Ok(())
    }

    fn back_up_whole(&mut self) -> Result<()> {
        self.narrator.step("The first backup reads everything");
        bitmap::add(&self.places.image(), BITMAP)?;
        self.narrator
            .fact("QEMU's dirty bitmap begins to record changes");
        self.lifeboat.init(&mut self.narrator)?;
        let backup = self.backup(None);
        let elapsed = self.lifeboat.backup(&mut self.narrator, &backup)?;
        let stored = self.lifeboat.stored_bytes()?;
        let text = format!("{} stored in a restic repository", mebibytes(stored));
        self.figures.add("first backup", elapsed, text);
        Ok(())
    }

    fn run_guest(&mut self) -> Result<Report> {
        self.narrator.step("The machine runs and changes its disk");
        let image = self.places.image();
        let mut guest = Guest::boot(&self.places.folder, "before", &image, "qcow2")?;
        let report = guest.report()?;
        self.narrator
            .done("booted under QEMU (TCG), no network", report.elapsed);
        self.narrator.output(&report.text);
        let elapsed = guest.power_down()?;
        self.narrator.done("shut down by its power button", elapsed);
        let dirty = bitmap::dirty_bytes(&image, BITMAP)?;
        self.narrator
            .fact(&format!("QEMU's bitmap says: {} changed", mebibytes(dirty)));
        self.figures.add(
            "machine ran",
            report.elapsed,
            format!("{} changed", mebibytes(dirty)),
        );
        Ok(report)
    }

    fn back_up_changes(&mut self) -> Result<()> {
        self.narrator
            .step("The second backup reads only what the bitmap names");
        let before = self.lifeboat.stored_bytes()?;
        let backup = self.backup(Some(BITMAP));
        let elapsed = self.lifeboat.backup(&mut self.narrator, &backup)?;
        let added = self.lifeboat.stored_bytes()?.saturating_sub(before);
        self.figures.add(
            "second backup",
            elapsed,
            format!("{} added", mebibytes(added)),
        );
        self.lifeboat.snapshots(&mut self.narrator)?;
        self.lifeboat.diff(&mut self.narrator)
    }

    fn check(&mut self) -> Result<()> {
        self.narrator
            .step("Is it all there? lifeboat says so, and the stock restic agrees");
        let elapsed = self.lifeboat.check(&mut self.narrator)?;
        self.figures
            .add("check", elapsed, "the repository is whole".into());
        let elapsed = self.lifeboat.verify(&mut self.narrator)?;
        self.figures
            .add("verify", elapsed, "every byte read back".into());
        let elapsed = judge::restic_check(&mut self.narrator, &self.lifeboat)?;
        self.figures.add(
            "restic check",
            elapsed,
            "--read-data by the stock restic".into(),
        );
        Ok(())
    }

    fn restore(&mut self) -> Result<()> {
        self.narrator
            .step("The day of the disaster: the disk comes back");
        let restored = self.places.restored();
        let elapsed = self.lifeboat.restore(&mut self.narrator, &restored)?;
        self.figures
            .add("restore", elapsed, image::told(&restored)?);
        let elapsed = judge::compare(&mut self.narrator, &self.places.image(), &restored)?;
        self.figures
            .add("compare", elapsed, "identical, says qemu-img".into());
        Ok(())
    }

    fn start_restored(&mut self, changed: &Report) -> Result<()> {
        self.narrator
            .step("And it lives: the machine starts from its backup");
        let restored = self.places.restored();
        let mut guest = Guest::boot(&self.places.folder, "restored", &restored, "raw")?;
        let report = guest.report()?;
        self.narrator
            .done("booted from the restored disk", report.elapsed);
        self.narrator.output(&report.text);
        let entry = changed.last_entry()?;
        ensure!(
            report.text.contains(entry),
            "the restored guest does not know of: {entry}"
        );
        ensure!(
            !report.text.contains("missing"),
            "the restored guest misses some of its work"
        );
        self.narrator
            .fact("it remembers what it did between the two backups, and its work is whole");
        let picture = guest.screenshot()?;
        guest.power_down()?;
        self.narrator.fact(&format!("its screen: demo/{picture}"));
        self.figures.add(
            "booted again",
            report.elapsed,
            "from the restored disk".into(),
        );
        Ok(())
    }

    fn serve(&mut self) -> Result<()> {
        self.narrator
            .step("And by itself: a service with schedules, an API and a dashboard");
        let disk = self.places.restored();
        self.lifeboat.configure(&mut self.narrator, &disk)?;
        let service = self.lifeboat.serve(&mut self.narrator)?;
        let elapsed = service.run_job(&mut self.narrator)?;
        drop(service);
        self.narrator
            .note("it is stopped again; 'lifeboat serve' in target/demo shows the dashboard");
        self.figures.add(
            "a job",
            elapsed,
            "carried out by the service, on request".into(),
        );
        Ok(())
    }

    fn finish(mut self, elapsed: Duration) {
        self.figures.add(
            "all",
            elapsed,
            "from an empty folder to a recovered machine".into(),
        );
        self.figures.tell(&mut self.narrator);
    }

    fn backup(&self, bitmap: Option<&'static str>) -> Backup {
        Backup {
            image: self.places.image(),
            definition: self.places.definition(),
            bitmap,
        }
    }
}

/// The tree of an interrupted demo belongs to root.
fn remove_leftovers(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    process::quiet(
        process::as_root("rm")
            .args(["-rf", "--one-file-system"])
            .arg(folder),
    )
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for people, to one decimal"
)]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / MIB)
}
