//! `cargo xtask torture`: the tests of chance and enumeration, in full, and their figures.
//!
//! `long` takes every case and writes the tables of `docs/reliability.md`; `sample` takes what
//! every change runs and only shows them. A part of a module's name runs that module alone; the
//! figures of the others stay as they were.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::install;
use crate::narrator::Narrator;
use crate::workspace::Workspace;

mod figures;
mod modules;
mod tables;

use modules::Module;

/// What a module's name begins with whose tests go by chance or enumerate: crash points, kills,
/// faults, flipped bits, simulation, endurance.
const PREFIXES: [&str; 10] = [
    "a_crash_",
    "crash",
    "damage_",
    "fault",
    "flip",
    "full_disk",
    "kill",
    "power_",
    "simulation_",
    "soak",
];

/// Modules of that sort with other names.
const NAMES: [&str; 10] = [
    "an_incremental_equals_a_full_backup",
    "copies_are_whole_after_every_crash",
    "every_damage_is_an_error",
    "every_kept_input_is_survived",
    "lost_connections_are_made_anew",
    "mutated_images_read_as_qemu_reads_them",
    "nothing_is_lost_by_mistake",
    "overlays_keep_what_was_flushed",
    "prune_and_backup_can_meet_anywhere",
    "prune_keeps_every_snapshot",
];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    /// The value of `LIFEBOAT_EFFORT`.
    effort: &'static str,
    /// A part of the names of the modules to run.
    filter: String,
}

/// Runs the tests; figures are in `target/torture`, with the output of every module.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    match arguments {
        [] => tests(workspace, &Request::of("long", &[])?),
        [effort, rest @ ..] if effort == "long" => tests(workspace, &Request::of("long", rest)?),
        [effort, rest @ ..] if effort == "sample" => {
            tests(workspace, &Request::of("sample", rest)?)
        }
        filter => tests(workspace, &Request::of("long", filter)?),
    }
}

impl Request {
    fn of(effort: &'static str, filter: &[String]) -> Result<Self> {
        match filter {
            [] => Ok(Self {
                effort,
                filter: String::new(),
            }),
            [filter] => Ok(Self {
                effort,
                filter: filter.clone(),
            }),
            _ => bail!("one part of a module's name at most: torture [long|sample] [FILTER]"),
        }
    }

    /// The command that asks for this.
    fn command(&self, module: &str) -> String {
        format!("cargo xtask torture {} {module}", self.effort)
    }
}

fn tests(workspace: &Workspace, request: &Request) -> Result<()> {
    install::for_tests(workspace)?;
    let mut narrator = Narrator::new();
    narrator.title(&format!("torture: {}", request.effort));
    let began = Instant::now();
    let mut modules = modules::build(workspace)?;
    narrator.done("release build of all tests", began.elapsed());
    modules.retain(|module| is_wanted(&module.name) && module.name.contains(&request.filter));
    if modules.is_empty() {
        bail!(
            "no module of that sort has '{}' in its name",
            request.filter
        );
    }
    let folder = folder(workspace, request)?;
    let mut failed = Vec::new();
    for module in &modules {
        narrator.step(&format!(
            "of {}: {} {}",
            modules.len(),
            module.package,
            module.name
        ));
        if !run_module(workspace, request, &folder, module, &mut narrator)? {
            failed.push(format!("{} {}", module.package, module.name));
        }
    }
    let text = tables::render(&figures::read_all(&folder)?)?;
    println!("\n{text}");
    if !failed.is_empty() {
        bail!(
            "{} failed: {}; their output is in {}",
            failed.len(),
            failed.join(", "),
            folder.display()
        );
    }
    if request.effort == "long" {
        tables::write(workspace, &text)?;
        narrator.fact("the tables of docs/reliability.md are written");
    }
    Ok(())
}

fn is_wanted(module: &str) -> bool {
    PREFIXES.iter().any(|prefix| module.starts_with(prefix)) || NAMES.contains(&module)
}

/// Where figures and output go. A run of everything forgets what earlier ones have left.
fn folder(workspace: &Workspace, request: &Request) -> Result<PathBuf> {
    let folder = workspace.target.join("torture").join(request.effort);
    if request.filter.is_empty() && folder.exists() {
        fs::remove_dir_all(&folder).context("removing old figures")?;
    }
    fs::create_dir_all(&folder).context("creating the folder for figures")?;
    Ok(folder)
}

/// Runs the tests of a module; says whether all passed.
fn run_module(
    workspace: &Workspace,
    request: &Request,
    folder: &std::path::Path,
    module: &Module,
    narrator: &mut Narrator,
) -> Result<bool> {
    let began = Instant::now();
    let collected = folder.join("figures.jsonl");
    if collected.exists() {
        fs::remove_file(&collected).context("removing old figures")?;
    }
    let log = folder.join(format!("{}-{}.log", module.package, module.name));
    let mut command = module.command(workspace, &log)?;
    command
        .env("LIFEBOAT_EFFORT", request.effort)
        .env("LIFEBOAT_FIGURES", &collected)
        .env("CI", "true");
    let status = command
        .status()
        .with_context(|| format!("starting the tests of {}", module.package))?;
    let elapsed = began.elapsed();
    if !status.success() {
        narrator.note(&format!("FAILED: see {}", log.display()));
        return Ok(false);
    }
    let kept = folder.join(format!("{}-{}.jsonl", module.package, module.name));
    let found = figures::collect(&collected, &request.command(&module.name))?;
    figures::save(&kept, &found)?;
    for figure in &found {
        narrator.fact(&format!(
            "{}: {}: {}",
            figure.section, figure.what, figure.value
        ));
    }
    narrator.done(&format!("{} tests", module.tests.len()), elapsed);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_of_chance_are_known_by_their_module() {
        assert!(is_wanted("power_may_fail_at_any_call"));
        assert!(is_wanted("simulation_no_order_of_calls_loses_a_snapshot"));
        assert!(!is_wanted("writers_store_each_blob_once"));
    }

    #[test]
    fn long_is_what_is_meant() {
        let words = |text: &str| {
            text.split_whitespace()
                .map(String::from)
                .collect::<Vec<_>>()
        };
        let request = Request::of("long", &words("power")).unwrap();
        assert_eq!(
            request.command("power_x"),
            "cargo xtask torture long power_x"
        );
        assert!(Request::of("sample", &words("one two")).is_err());
    }
}
