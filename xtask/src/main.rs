//! lifeboat's own tooling: everything around the product that a person starts by hand.
//!
//! Takes a command (`demo`, `test`, `bench`, `torture`, `fuzz`, `deb`, `tidy`, `picture`, `fleet`,
//! `setup`), runs it in the workspace, and ends with a status that a machine can read.
//! Does not contain any part of the product, and the product never depends on it.
//!
//! Source: DESIGN, aside; sizes, habits and tests.

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

mod bench;
mod deb;
mod demo;
mod examples;
mod fuzz;
mod install;
mod narrator;
mod picture;
mod process;
mod suite;
mod tidy;
mod torture;
mod workspace;

use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask <command>

  demo [--lifeboat PROGRAM]   back up, change and bring back a real Debian machine, and show it
  test [RUNNER ARGUMENTS]     install what the tests need, check everything, run every test
  bench [OPTIONS]             measure lifeboat and its peers, write docs/benchmarks.md;
                              `bench --list` and `bench --help` say more
  fuzz [SECONDS] [TARGET]     give hostile input to every reader, 300 seconds of processor time
                              each, and write docs/reliability.md
  torture [long|sample] [FILTER]
                              run the tests of chance and enumeration in full, all or those
                              of some modules, and write docs/reliability.md
  deb [OPTIONS]               make a Debian package of a release build, or of --lifeboat PROGRAM
  tidy                        check the rules of the source tree
  fleet [OPTIONS] FOLDER      make a repository with thousands of snapshots and millions of blobs
  setup                       only install what `test` needs
  picture [TRANSCRIPT]        draw the demo's output as docs/demo.svg";

fn main() -> ExitCode {
    match run(env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Vec<String>) -> Result<()> {
    if arguments.is_empty() {
        bail!("no command given\n\n{USAGE}");
    }
    let command = arguments.remove(0);
    let workspace = Workspace::find()?;
    match (command.as_str(), arguments.as_slice()) {
        ("demo", []) => demo::run(&workspace, None),
        ("demo", [flag, program]) if flag == "--lifeboat" => {
            demo::run(&workspace, Some(program.as_ref()))
        }
        ("deb", rest) => deb::run(&workspace, rest),
        ("bench", rest) => bench::run(&workspace, rest),
        ("test", rest) => suite::run(&workspace, rest),
        ("fuzz", rest) => fuzz(&workspace, rest),
        ("torture", rest) => torture::run(&workspace, rest),
        ("tidy", []) => tidy::run(&workspace),
        ("fleet", rest) => fleet(&workspace, rest),
        ("setup", []) => install::for_tests(&workspace).map(drop),
        ("picture", []) => picture::run(&workspace, None),
        ("picture", [transcript]) => picture::run(&workspace, Some(transcript.as_ref())),
        ("help" | "--help" | "-h", []) => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!(
            "unknown command or arguments: {command} {}\n\n{USAGE}",
            arguments.join(" ")
        ),
    }
}

/// The test kit makes it: this program is the first thing that is built, and stays small.
fn fleet(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let mut command = workspace.cargo(&["run", "--quiet", "--package", "lifeboat-testkit"]);
    command.args(["--bin", "fleet", "--"]).args(arguments);
    // Folders are meant from where the person stands.
    process::run(command.current_dir(env::current_dir()?))
}

/// `fuzz`, `fuzz SECONDS`, `fuzz TARGET`, `fuzz SECONDS TARGET`.
fn fuzz(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let (seconds, rest) = match arguments {
        [first, rest @ ..] if first.parse::<u32>().is_ok() => (first.parse().ok(), rest),
        rest => (None, rest),
    };
    match rest {
        [] => fuzz::run(workspace, seconds, None),
        [target] => fuzz::run(workspace, seconds, Some(target)),
        _ => bail!("too many arguments for fuzz\n\n{USAGE}"),
    }
}
