//! The binary: builds the adapters and hands the process to the command line.
//!
//! Does not hold any rule or algorithm.

use std::process::ExitCode;
use std::sync::Arc;

use lifeboat_model::ErrorKind;
use lifeboat_platform::{Error, Platform, Result};

fn main() -> ExitCode {
    // This program is also what runs inside its rescue VM.
    if let Some(code) = lifeboat_rescue::enter() {
        return code;
    }
    lifeboat_cli::run(lifeboat_cli::Wiring { open_platform })
}

/// Opens the platform that a URI names.
fn open_platform(uri: &str) -> Result<Arc<dyn Platform>> {
    let error = Error::new(ErrorKind::Unsupported, "opening the platform", uri);
    Err(error.seen("no adapter knows it"))
}
