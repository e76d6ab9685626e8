//! lifeboat's own tooling: everything around the product that a person starts by hand.
//!
//! Takes a command (`demo`, `test`, `torture`, `tidy`, `picture`, `setup`), runs it in the
//! workspace, and ends with a status that a machine can read.
//! Does not contain any part of the product, and the product never depends on it.
//!
//! Source: DESIGN, aside; sizes, habits and tests.

use std::env;
use std::process::ExitCode;

use anyhow::{Result, bail};

mod demo;
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
  torture [long|sample] [FILTER]
                              run the tests of chance and enumeration in full, all or those
                              of some modules, and write docs/reliability.md
  tidy                        check the rules of the source tree
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
        ("test", rest) => suite::run(&workspace, rest),
        ("torture", rest) => torture::run(&workspace, rest),
        ("tidy", []) => tidy::run(&workspace),
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
