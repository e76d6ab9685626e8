//! bupstash: one key, one item for each backup, zstd level 3 by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Backup, Form, How, Snapshot, Tool, command, version_word};
use crate::bench::measure::Call;
use crate::bench::place::Place;

/// bupstash with its defaults.
#[derive(Debug)]
pub(crate) struct Bupstash {
    program: PathBuf,
}

impl Bupstash {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            program: path.to_owned(),
        }
    }

    fn command(&self, place: &Place, verb: &str) -> Command {
        let mut command = command(&self.program, place);
        command
            .env("BUPSTASH_REPOSITORY", place.repository())
            .env("BUPSTASH_KEY", place.key_file())
            .env("BUPSTASH_QUERY_CACHE", place.cache().join("query"))
            .arg(verb);
        command
    }
}

fn query(label: &str) -> String {
    format!("label={label}")
}

impl Tool for Bupstash {
    fn name(&self) -> &'static str {
        "bupstash"
    }

    fn version(&self) -> Result<String> {
        let word = version_word(&self.program, "--version", 0)?;
        Ok(word.trim_start_matches("bupstash-").to_owned())
    }

    fn init(&self, place: &Place) -> Vec<Call> {
        let mut key = self.command(place, "new-key");
        key.arg("-o").arg(place.key_file());
        vec![key.into(), self.command(place, "init").into()]
    }

    fn backup(&self, place: &Place, backup: Backup<'_>) -> Option<Vec<Call>> {
        let mut command = self.command(place, "put");
        command.arg("-q");
        match backup.how {
            How::Changed(_) => return None,
            How::Reread => {
                command.arg("--no-send-log");
            }
            How::Usual | How::Unchanged(_) => {
                command.arg("--send-log").arg(place.cache().join("sent"));
            }
        }
        command.arg(query(backup.label)).arg(place.disk());
        Some(vec![command.into()])
    }

    fn restore(&self, place: &Place, snapshot: &Snapshot, form: Form) -> Option<Vec<Call>> {
        if form == Form::Sparse {
            return None;
        }
        let mut command = self.command(place, "get");
        command.arg("-q").arg(query(&snapshot.label));
        Some(vec![Call {
            command,
            output: Some(place.target().join("disk.raw")),
        }])
    }

    fn remove(&self, place: &Place, snapshots: &[Snapshot]) -> Option<Vec<Call>> {
        let mut remove = self.command(place, "rm");
        remove.args(["-q", "--allow-many"]);
        for (index, snapshot) in snapshots.iter().enumerate() {
            if index > 0 {
                remove.arg("or");
            }
            remove.arg(query(&snapshot.label));
        }
        let mut collect = self.command(place, "gc");
        collect.arg("-q");
        Some(vec![remove.into(), collect.into()])
    }
}
