//! How much a test of chance or of enumeration does, and the figures it leaves behind.
//!
//! Takes two variables of the environment: `LIFEBOAT_EFFORT` (`sample`, the default, or `long`)
//! and `LIFEBOAT_FIGURES` (a file that collects what was counted, one JSON object a line).
//! Does not decide what is right: a long run checks more cases, never other ones.
//!
//! Source: the test plan's two rings, every change and the long run (`cargo xtask torture`).

use std::env;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;

/// How many cases a test takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// A share that fits into the checks of every change.
    Sample,
    /// Everything: minutes to hours, started by `cargo xtask torture`.
    Long,
}

impl Effort {
    /// What this run was asked for: `LIFEBOAT_EFFORT`, [`Effort::Sample`] when it is not set.
    ///
    /// # Panics
    /// When the variable holds anything but `sample` or `long`: a misspelt long run must not
    /// pass as one.
    pub fn current() -> Self {
        match env::var("LIFEBOAT_EFFORT").as_deref() {
            Err(_) | Ok("" | "sample") => Self::Sample,
            Ok("long") => Self::Long,
            Ok(other) => panic!("LIFEBOAT_EFFORT is {other:?}: expected sample or long"),
        }
    }

    /// The value for this effort.
    pub fn pick<T>(self, sample: T, long: T) -> T {
        match self {
            Self::Sample => sample,
            Self::Long => long,
        }
    }
}

/// Leaves a counted figure for the table of `docs/reliability.md`.
///
/// `section` is the table's row group ("crash points"), `what` the row ("prune: states"), `value`
/// what was counted. Always printed; also appended to the file that `LIFEBOAT_FIGURES` names.
///
/// # Panics
/// When that file cannot be written.
pub fn figure(section: &str, what: &str, value: impl Display) {
    println!("{section}: {what}: {value}");
    let Ok(path) = env::var("LIFEBOAT_FIGURES") else {
        return;
    };
    let line = serde_json::json!({
        "section": section,
        "what": what,
        "value": value.to_string(),
    });
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .unwrap_or_else(|error| panic!("open the figures file {path}: {error}"));
    writeln!(file, "{line}").unwrap_or_else(|error| panic!("write {path}: {error}"));
}
