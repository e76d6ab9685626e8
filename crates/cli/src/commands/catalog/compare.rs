//! `lifeboat catalog compare`

use std::collections::HashMap;
use std::path::Path;

use lifeboat_format::SnapshotId;
use serde::Serialize;

use super::document::{self, Catalog, Entry};
use crate::args::FilterArguments;
use crate::context::Context;
use crate::error::{EXIT_VERIFY, Result};
use crate::tables::{Table, moment};

/// How a snapshot differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// In the catalog only.
    Missing,
    /// In the repository only.
    Additional,
    /// In both, with other content.
    Differs,
}

#[derive(Serialize)]
struct DifferenceLine<'a> {
    snapshot_id: String,
    time: String,
    machine: &'a str,
    state: State,
    reason: &'a str,
}

struct Difference<'a> {
    entry: &'a Entry,
    state: State,
    reason: String,
}

#[derive(Serialize)]
struct SummaryLine {
    equal: usize,
    missing: usize,
    additional: usize,
    differing: usize,
    same_repository: bool,
}

/// Says how the repository differs from a catalog.
pub(super) fn run(context: &Context, path: &Path) -> Result<u8> {
    let catalog = document::read(path)?;
    let repository = context.open()?;
    let here = super::of_repository(context, &repository, &FilterArguments::default())?;
    let differences = differences(&catalog, &here);
    let count = |state| differences.iter().filter(|d| d.state == state).count();
    let (missing, differing) = (count(State::Missing), count(State::Differs));
    let summary = SummaryLine {
        equal: catalog.snapshots.len() - missing - differing,
        missing,
        additional: count(State::Additional),
        differing,
        same_repository: catalog.repository == here.repository,
    };
    report(context, &differences, &summary)?;
    Ok(if differences.is_empty() {
        0
    } else {
        EXIT_VERIFY
    })
}

/// The entries of `here` by the id that entries of a catalog can name them with.
pub(super) struct Present<'a> {
    by_id: HashMap<SnapshotId, &'a Entry>,
    by_origin: HashMap<SnapshotId, Vec<&'a Entry>>,
}

impl<'a> Present<'a> {
    pub(super) fn new(here: &'a Catalog) -> Self {
        let (mut by_id, mut by_origin) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for entry in &here.snapshots {
            by_id.insert(entry.id, entry);
            by_origin.entry(entry.origin()).or_default().push(entry);
        }
        Self { by_id, by_origin }
    }

    /// The same snapshot, also if it was rewritten or brought back under another id.
    pub(super) fn find(&self, entry: &Entry) -> Option<&'a Entry> {
        if let Some(found) = self.by_id.get(&entry.id) {
            return Some(found);
        }
        let related = self.by_origin.get(&entry.origin())?;
        let same = related.iter().find(|found| found.root == entry.root);
        same.or_else(|| related.iter().find(|found| found.time == entry.time))
            .copied()
    }
}

fn differences<'a>(catalog: &'a Catalog, here: &'a Catalog) -> Vec<Difference<'a>> {
    let present = Present::new(here);
    let mut matched = std::collections::HashSet::new();
    let mut differences = Vec::new();
    for entry in &catalog.snapshots {
        let found = present.find(entry).filter(|found| matched.insert(found.id));
        let (state, reason) = match found {
            None => (State::Missing, "not in this repository".to_owned()),
            Some(found) => match difference(entry, found) {
                None => continue,
                Some(reason) => (State::Differs, reason),
            },
        };
        differences.push(Difference {
            entry,
            state,
            reason,
        });
    }
    let rest = here.snapshots.iter().filter(|e| !matched.contains(&e.id));
    differences.extend(rest.map(|entry| Difference {
        entry,
        state: State::Additional,
        reason: "not in the catalog".to_owned(),
    }));
    differences
}

/// What is different in the content of two snapshots that should be the same.
fn difference(then: &Entry, now: &Entry) -> Option<String> {
    let mut reasons = Vec::new();
    if then.root != now.root {
        let (then, now) = (then.root.short(), now.root.short());
        reasons.push(format!("root was {then}, is {now}"));
    }
    for disk in &then.disks {
        match now.disks.iter().find(|other| other.name == disk.name) {
            None => reasons.push(format!("disk {} is gone", disk.name)),
            Some(other) if (other.root, other.size) != (disk.root, disk.size) => {
                reasons.push(format!("disk {} has other content", disk.name));
            }
            Some(_) => {}
        }
    }
    let is_new = |disk: &&document::Disk| !then.disks.iter().any(|old| old.name == disk.name);
    let new = now.disks.iter().filter(is_new);
    reasons.extend(new.map(|disk| format!("disk {} is new", disk.name)));
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

fn report(context: &Context, list: &[Difference<'_>], summary: &SummaryLine) -> Result<()> {
    let output = context.output;
    if output.is_json() {
        for one in list {
            output.message(
                "difference",
                &DifferenceLine {
                    snapshot_id: one.entry.id.to_string(),
                    time: one.entry.time.to_string(),
                    machine: one.entry.machine.as_deref().unwrap_or(&one.entry.host),
                    state: one.state,
                    reason: &one.reason,
                },
            )?;
        }
        return output.message("summary", summary);
    }
    if !summary.same_repository {
        output.tell("the catalog is of another repository")?;
    }
    let mut table = Table::new(&["ID", "Time", "Machine", "State", "Reason"]);
    for one in list {
        let machine = one.entry.machine.as_ref().unwrap_or(&one.entry.host);
        table.row([
            one.entry.id.short(),
            moment(one.entry.time.timestamp()),
            machine.clone(),
            format!("{:?}", one.state).to_lowercase(),
            one.reason.clone(),
        ]);
    }
    if !list.is_empty() {
        table
            .lines()
            .iter()
            .try_for_each(|line| output.result(line))?;
    }
    output.result(format!(
        "{} equal, {} missing, {} additional, {} differ",
        summary.equal, summary.missing, summary.additional, summary.differing
    ))
}
