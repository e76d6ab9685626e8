//! `cargo xtask bench`: lifeboat and its peers side by side, on the same disks.
//!
//! Installs the peers, makes the data set, measures every row of every tool in turn for several
//! rounds, and writes `docs/benchmarks.md`. Judgement is left to the document: a target that is
//! missed is shown as missed, and does not fail the command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::install::peers;
use crate::narrator::Narrator;
use crate::process;
use crate::workspace::Workspace;

mod changed;
mod course;
mod dataset;
mod fleet;
mod instant;
mod machine;
mod measure;
mod noise;
mod options;
mod pages;
mod place;
mod record;
mod report;
mod rows;
mod running;
mod served;
mod site;
mod statistics;
mod suites;
mod tools;

use course::Course;
use machine::Machine;
use options::{Options, Part};
use place::Place;
use record::Records;
use rows::{ROWS, Suite};
use suites::Images;
use tools::{
    Borg, Bupstash, Copy, Lifeboat, QemuImg, QemuNbd, Recovery, Restic, ResticDump, Rustic, Tool,
    Virtnbdbackup,
};

/// Names of the peers, as records and the command line have them.
const PEERS: [&str; 12] = [
    "restic",
    "restic-0.14",
    "rustic",
    "borg",
    "bupstash",
    "qemu-img",
    "virtnbdbackup",
    "virtnbdbackup-lz4",
    "qemu-nbd",
    "restic-dump",
    "recover",
    "cp",
];
const SUITES: [Suite; 7] = [
    Suite::Machines,
    Suite::Sparse,
    Suite::Incompressible,
    Suite::Fleet,
    Suite::Running,
    Suite::Served,
    Suite::Instant,
];

/// Runs what the words after `bench` ask for.
pub(crate) fn run(workspace: &Workspace, words: &[String]) -> Result<()> {
    let options = Options::parse(words)?;
    match options.part {
        Part::Help => println!("{}", options::USAGE),
        Part::List => list(),
        Part::Everything | Part::Prepare | Part::Report => work(workspace, words, options)?,
    }
    Ok(())
}

fn work(workspace: &Workspace, words: &[String], options: Options) -> Result<()> {
    let folders = Folders::new(workspace, &options)?;
    if options.part == Part::Report {
        return write_report(&folders);
    }
    let mut narrator = Narrator::new();
    narrator.title("bench: what is compared");
    let ours = lifeboat(workspace, &options, &mut narrator)?;
    let tools = tools(workspace, &options, &ours, &mut narrator)?;
    let suites = suites(&options);
    dataset::make(&mut narrator, &folders.data, &suites)?;
    if options.part == Part::Prepare {
        return Ok(());
    }
    Machine::look(&folders.work, words)?.save(&folders.machine())?;
    let mut bench = Bench {
        images: Images::new(&folders.data, &folders.work.join("lists"), &ours)?,
        records: Records::open(&folders.records())?,
        options,
        tools,
        narrator,
        folders,
    };
    bench.measure(&suites)?;
    write_report(&bench.folders)
}

fn list() {
    for row in &ROWS {
        println!("{:>4}  {}", row.name, row.title);
    }
    println!("\npeers: {}", PEERS.join(", "));
}

fn write_report(folders: &Folders) -> Result<()> {
    let records = Records::open(&folders.records())?;
    let machine = Machine::load(&folders.machine())?;
    report::write(&records, &machine, &folders.document)?;
    println!("written: {}", folders.document.display());
    Ok(())
}

/// Suites that have any wanted row.
fn suites(options: &Options) -> Vec<Suite> {
    let is_wanted = |suite: &Suite| options.rows.iter().any(|row| row.suite == *suite);
    SUITES.into_iter().filter(is_wanted).collect()
}

/// Where everything lies.
#[derive(Debug)]
struct Folders {
    data: PathBuf,
    work: PathBuf,
    document: PathBuf,
}

impl Folders {
    fn new(workspace: &Workspace, options: &Options) -> Result<Self> {
        let or = |given: &Option<PathBuf>, usual: PathBuf| given.clone().unwrap_or(usual);
        let target = workspace.target.join("bench");
        let work = or(&options.work, target.join("work"));
        fs::create_dir_all(work.join("logs"))
            .with_context(|| format!("creating {}", work.display()))?;
        Ok(Self {
            data: or(&options.data, target.join("data")),
            work: fs::canonicalize(work).context("looking for the work folder")?,
            document: or(&options.document, workspace.root.join("docs/benchmarks.md")),
        })
    }

    fn records(&self) -> PathBuf {
        self.work.join("results.jsonl")
    }

    fn machine(&self) -> PathBuf {
        self.work.join("machine.json")
    }
}

/// lifeboat and the wanted peers, all of them there.
fn tools(
    workspace: &Workspace,
    options: &Options,
    ours: &Path,
    narrator: &mut Narrator,
) -> Result<Vec<Box<dyn Tool>>> {
    let folder = workspace.tools();
    fs::create_dir_all(&folder).context("creating target/tools")?;
    let names = match &options.peers {
        Some(names) => names.iter().map(String::as_str).collect(),
        None => PEERS.to_vec(),
    };
    let mut tools: Vec<Box<dyn Tool>> = vec![Box::new(Lifeboat::new(ours))];
    for name in names {
        tools.push(peer(name, &folder, ours, narrator)?);
    }
    if tools.iter().any(|tool| tool.takes_part(Suite::Running)) {
        peers::for_machines()?;
    }
    Ok(tools)
}

fn peer(name: &str, folder: &Path, ours: &Path, narrator: &mut Narrator) -> Result<Box<dyn Tool>> {
    let mut restic = || -> Result<Restic> {
        let program = peers::newer_restic(narrator, folder)?;
        Ok(Restic::new(tools::RESTIC, &program, true))
    };
    Ok(match name {
        "restic" => Box::new(restic()?),
        "restic-dump" => Box::new(ResticDump(restic()?)),
        "virtnbdbackup" | "virtnbdbackup-lz4" => Box::new(Virtnbdbackup {
            is_compressed: name != "virtnbdbackup",
        }),
        "qemu-nbd" => Box::new(QemuNbd),
        "recover" => Box::new(Recovery(Lifeboat::new(ours))),
        "cp" => Box::new(Copy),
        "restic-0.14" => Box::new(Restic::new("restic-0.14", &peers::debian_restic()?, false)),
        "rustic" => Box::new(Rustic::new(&peers::rustic(narrator, folder)?)),
        "borg" => Box::new(Borg::new(&peers::borg(narrator, folder)?)),
        "bupstash" => Box::new(Bupstash::new(&peers::bupstash(narrator, folder)?)),
        "qemu-img" => {
            peers::qemu_img()?;
            Box::new(QemuImg)
        }
        _ => anyhow::bail!("there is no peer {name}: it is one of {}", PEERS.join(", ")),
    })
}

fn lifeboat(workspace: &Workspace, options: &Options, narrator: &mut Narrator) -> Result<PathBuf> {
    if let Some(program) = &options.lifeboat {
        let found = fs::canonicalize(program);
        return found.with_context(|| format!("looking for {}", program.display()));
    }
    let began = Instant::now();
    let build = ["build", "--release", "--locked", "-p", "lifeboat"];
    process::quiet(&mut workspace.cargo(&build))?;
    narrator.done("lifeboat, release build", began.elapsed());
    Ok(workspace.target.join("release/lifeboat"))
}

/// Everything that a measuring run holds.
struct Bench {
    options: Options,
    tools: Vec<Box<dyn Tool>>,
    images: Images,
    records: Records,
    narrator: Narrator,
    folders: Folders,
}

impl Bench {
    fn measure(&mut self, suites: &[Suite]) -> Result<()> {
        if self.options.is_again {
            let rows: Vec<_> = self.options.rows.iter().map(|row| row.name).collect();
            let tools: Vec<_> = self.tools.iter().map(|tool| tool.name()).collect();
            self.records.forget(&rows, &tools)?;
        }
        for round in 1..=self.options.rounds {
            let began = Instant::now();
            self.narrator.step(&format!("round {round}"));
            for suite in suites {
                for index in 0..self.tools.len() {
                    // Each round another tool begins.
                    let turn = (index + round as usize - 1) % self.tools.len();
                    self.course(round, *suite, turn)?;
                }
            }
            self.narrator.done("the round", began.elapsed());
        }
        Ok(())
    }

    /// One tool's turn; its failure is a result, not the end.
    fn course(&mut self, round: u32, suite: Suite, turn: usize) -> Result<()> {
        let tool = &*self.tools[turn];
        let rows = self.options.rows.iter().filter(|row| row.suite == suite);
        let mut wanted: Vec<_> = rows.map(|row| row.name).collect();
        wanted.retain(|row| !self.records.has(round, row, tool.name()));
        if wanted.is_empty() || !tool.takes_part(suite) {
            return Ok(());
        }
        let mut course = Course {
            version: tool.version()?,
            tool,
            round,
            wanted,
            place: Place::create(&self.folders.work.join("place"))?,
            logs: self.folders.work.join("logs"),
            snapshots: Vec::new(),
            records: &mut self.records,
            narrator: &mut self.narrator,
        };
        ensure_room(course.place.folder(), suite, &self.images)?;
        match suites::run(suite, &mut course, &self.images) {
            Ok(()) => course.finish()?,
            Err(error) => course.fail(&error)?,
        }
        course.place.remove()
    }
}

/// Stops before a full disk spoils the figures.
fn ensure_room(folder: &Path, suite: Suite, images: &Images) -> Result<()> {
    let needed = images.room(suite)?;
    let free = measure::free_bytes(folder)?;
    ensure!(
        free >= needed,
        "{} has {} MiB free, this suite needs {} MiB: make room, or give another --work",
        folder.display(),
        free >> 20,
        needed >> 20
    );
    Ok(())
}

/// The first line that a program prints.
fn first_line(command: &mut Command) -> Result<String> {
    let text = process::output(command)?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
