//! What people and programs ask for.

use serde::{Deserialize, Serialize};

/// A run that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Request {
    /// A run of a job.
    Backup {
        /// The job's name.
        job: String,
        /// Only these of its machines; all if there are none.
        #[serde(default)]
        machines: Vec<String>,
        /// Read everything.
        #[serde(default)]
        is_forced: bool,
    },
    /// Reads a machine's newest point back.
    Verify {
        /// The machine's name.
        machine: String,
    },
    /// Looks whether a repository is whole.
    Check {
        /// The repository's name.
        repository: String,
    },
    /// Removes what no snapshot needs.
    Prune {
        /// The repository's name.
        repository: String,
    },
    /// Brings a machine back.
    Restore {
        /// The repository's name.
        repository: String,
        /// The snapshot's id, or a beginning of it.
        snapshot: String,
        /// The platform's name.
        platform: String,
        /// The machine's new name; its own if there is none.
        #[serde(default)]
        name: Option<String>,
        /// Starts it.
        #[serde(default)]
        is_started: bool,
        /// Puts it into the place of the machine of that name.
        #[serde(default)]
        is_replacing: bool,
    },
    /// Lists what repositories hold, and how large they are.
    Look {
        /// The repository's name.
        repository: String,
    },
}
