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
        /// Its platform's name, where several have a machine of that name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        platform: Option<String>,
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
    Restore(RestoreRequest),
    /// Lists what repositories hold, and how large they are.
    Look {
        /// The repository's name.
        repository: String,
    },
}

/// A machine that is to come back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRequest {
    /// The repository's name.
    pub repository: String,
    /// The snapshot's id, or a beginning of it.
    pub snapshot: String,
    /// The platform's name.
    pub platform: String,
    /// The machine's new name; its own if there is none.
    #[serde(default)]
    pub name: Option<String>,
    /// Where its disks go: `pool:NAME` or `/folder/`; where the platform usually puts them if
    /// there is none.
    #[serde(default)]
    pub to: Option<String>,
    /// Starts it.
    #[serde(default)]
    pub is_started: bool,
    /// Puts it into the place of the machine of that name.
    #[serde(default)]
    pub is_replacing: bool,
}
