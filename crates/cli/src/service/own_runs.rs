//! Runs that a command carries out by itself, and what becomes of those whose command is gone.
//!
//! Such a command locks `runs/NUMBER` in the state for as long as it lives, and writes its node's
//! name into it; its children lock `runs/NUMBER.children`.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use lifeboat_catalog::{Run, RunId, RunState};
use lifeboat_model::{CancelToken, ErrorKind};

use super::orphans::{self, Held};
use super::{RUN, Service};
use crate::error::{Error, Result};

/// A run that this process carries out.
pub(crate) struct OwnRun {
    path: PathBuf,
    /// Others see by it that this process lives.
    _held: Held,
}

/// A run whose command is gone.
pub(crate) struct LeftRun {
    /// The run, which is open.
    pub(crate) run: Run,
    /// The name of its command's node.
    pub(crate) node: String,
    path: PathBuf,
}

impl OwnRun {
    /// What its children lock.
    pub(super) fn children(&self) -> PathBuf {
        children(&self.path)
    }

    /// Leaves no trace of a run that has ended.
    pub(crate) fn close(self) {
        remove(&self.path);
    }
}

fn children(path: &Path) -> PathBuf {
    path.with_extension("children")
}

/// A file too many harms nobody: it is looked at again.
fn remove(path: &Path) {
    let _ = fs::remove_file(children(path));
    let _ = fs::remove_file(path);
}

impl Service {
    /// The name of the node of a command that carries out a run by itself.
    pub(super) fn own_node_name(&self) -> String {
        format!("{}{RUN}{}", self.node_name(), std::process::id())
    }

    /// Writes down that this process carries out a run.
    pub(crate) fn hold_run(&self, run: RunId) -> Result<OwnRun> {
        let path = self.own_runs().join(run.to_string());
        let failed = |error: std::io::Error| cannot(&path, &error);
        orphans::make(&self.own_runs()).map_err(failed)?;
        let mut held = orphans::lock(&path).map_err(failed)?;
        held.say(&self.own_node_name()).map_err(failed)?;
        Ok(OwnRun { path, _held: held })
    }

    fn own_runs(&self) -> PathBuf {
        self.state.join("runs")
    }

    /// Runs that were left in the middle by commands of this host, oldest first.
    pub(crate) fn left_runs(&self) -> Result<Vec<LeftRun>> {
        let Ok(entries) = fs::read_dir(self.own_runs()) else {
            return Ok(Vec::new());
        };
        let numbered = |path: PathBuf| Some((path.file_name()?.to_str()?.parse().ok()?, path));
        let mut files: Vec<(i64, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| numbered(entry.path()))
            .collect();
        files.sort();
        let mut left = Vec::new();
        for (number, path) in files {
            let failed = |error: std::io::Error| cannot(&path, &error);
            // The command still lives.
            if orphans::try_share(&path).map_err(failed)?.is_none() {
                continue;
            }
            match self.catalog.run(RunId(number)) {
                Ok(run) if run.state == RunState::Open => {
                    let node = orphans::note(&path).map_err(failed)?;
                    // Whoever has just made it has not locked it yet.
                    if !node.is_empty() {
                        left.push(LeftRun { run, node, path });
                    }
                }
                Ok(_) => remove(&path),
                Err(error) if error.kind() == ErrorKind::NotFound => remove(&path),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(left)
    }

    /// Ends the runs that commands of this host left in the middle, or lets a service go on with
    /// them at once if there is one. `tell` hears what became of each.
    pub(crate) fn clear_left_runs(&self, stop: &CancelToken, tell: &dyn Fn(&str)) -> Result<()> {
        let lease = self.loaded.config.catalog.lease;
        for left in self.left_runs()? {
            let what = format!("run {} of {}", left.run.id, left.run.job);
            let say = |text: &str| tell(&format!("{what}: {text}"));
            orphans::wait(&children(&left.path), lease, stop, &say)?;
            self.catalog.take_over()?;
            let is_served = self.is_served()?;
            let is_ended = !is_served && self.catalog.end_abandoned(left.run.id, &left.node)?;
            if is_served {
                self.catalog.take_over_own(&left.node)?;
            }
            let became = match is_ended {
                true => "what it did not finish counts as failed",
                false => "another node goes on with it",
            };
            // Somebody else may have looked at the same time.
            if is_ended || self.catalog.run(left.run.id)?.state == RunState::Open {
                say(&format!(
                    "the command that carried it out ({}) ended in the middle; {became}",
                    left.node
                ));
            }
            remove(&left.path);
        }
        Ok(())
    }

    /// Whether a service works with this catalog.
    pub(crate) fn is_served(&self) -> Result<bool> {
        let hold = SignedDuration::try_from(self.loaded.config.catalog.lease).unwrap_or_default();
        let now = self.catalog.now();
        let nodes = self.catalog.nodes()?;
        Ok(nodes.iter().any(|it| now.duration_since(it.seen) < hold))
    }
}

fn cannot(path: &Path, error: &std::io::Error) -> Error {
    let text = format!(
        "cannot keep who carries out a run in {}: {error}",
        path.display()
    );
    Error::new(ErrorKind::of_io(error), text)
}
