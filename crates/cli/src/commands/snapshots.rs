//! `lifeboat snapshots`

use std::collections::HashMap;

use lifeboat_backend::FileKind;
use lifeboat_format::label;
use lifeboat_model::ByteCount;
use lifeboat_repository::{LockMode, Snapshot};
use serde::Serialize;
use serde_json::Value;

use crate::args::SnapshotsArguments;
use crate::context::Context;
use crate::error::Result;
use crate::select;
use crate::tables::{Table, count, moment};

/// A snapshot as restic prints it, with its machine.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    file: &'a lifeboat_format::SnapshotFile,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<String>,
    id: String,
    short_id: String,
}

/// Lists snapshots, oldest first.
pub(crate) fn run(context: &Context, arguments: &SnapshotsArguments) -> Result<u8> {
    let repository = context.open_for(FileKind::Snapshot)?;
    let locked = context.lock(&repository, LockMode::Shared)?;
    let mut list = select::many(locked.repository, &arguments.ids, &arguments.filter)?;
    if let Some(count) = arguments.latest {
        keep_latest(&mut list, count);
    }
    if context.output.is_json() {
        let lines: Vec<Line<'_>> = list.iter().map(line).collect();
        context.output.json(&lines)?;
        return Ok(0);
    }
    if list.is_empty() {
        context.output.tell("no snapshots")?;
        return Ok(0);
    }
    context.output.result(table(&list).lines().join("\n"))?;
    context.output.tell(count(list.len(), "snapshot"))?;
    Ok(0)
}

/// A snapshot as JSON.
pub(crate) fn value(snapshot: &Snapshot) -> Value {
    serde_json::to_value(line(snapshot)).unwrap_or_default()
}

fn line(snapshot: &Snapshot) -> Line<'_> {
    Line {
        file: &snapshot.file,
        machine: label::read(&snapshot.file).map(|name| name.to_string()),
        id: snapshot.id.to_string(),
        short_id: snapshot.id.short(),
    }
}

/// Keeps the last `count` of every host and list of paths.
fn keep_latest(list: &mut Vec<Snapshot>, count: usize) {
    let mut seen: HashMap<(String, Vec<String>), usize> = HashMap::new();
    let mut kept: Vec<Snapshot> = Vec::new();
    for snapshot in list.drain(..).rev() {
        let key = (snapshot.file.hostname.clone(), snapshot.file.paths.clone());
        let number = seen.entry(key).or_default();
        *number += 1;
        if *number <= count {
            kept.push(snapshot);
        }
    }
    kept.reverse();
    *list = kept;
}

pub(crate) fn table(list: &[Snapshot]) -> Table {
    let mut table = Table::new(&["ID", "Time", "Machine", "Tags", ">Size", ">Added"]);
    for snapshot in list {
        let file = &snapshot.file;
        let amount = |bytes: u64| ByteCount(bytes).to_string();
        let size = file
            .summary
            .as_ref()
            .map(|s| amount(s.total_bytes_processed));
        let added = file.summary.as_ref().map(|s| amount(s.data_added_packed));
        let name = match label::read(file) {
            Some(machine) => machine.to_string(),
            None => format!("{}:{}", file.hostname, file.paths.join(",")),
        };
        table.row([
            snapshot.id.short(),
            moment(file.time.timestamp()),
            name,
            file.tags
                .iter()
                .filter(|t| *t != label::MACHINE_TAG)
                .cloned()
                .collect::<Vec<_>>()
                .join(","),
            size.unwrap_or_default(),
            added.unwrap_or_default(),
        ]);
    }
    table
}
