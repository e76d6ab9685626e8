//! Which snapshots a command is about: `latest`, ids, machine, tags, paths, time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use lifeboat_format::{BlobId, Node, TREE_DEPTH_MAX, label};
use lifeboat_model::{ErrorKind, ParseError};
use lifeboat_repository::{BlobReader, Repository, Snapshot, snapshots};

use crate::args::{FilterArguments, PointArguments};
use crate::context::Context;
use crate::error::{Error, Result};

/// A parsed filter.
pub(crate) struct Filter {
    hosts: Vec<String>,
    /// Any of these lists, all tags of it.
    tags: Vec<Vec<String>>,
    paths: Vec<String>,
}

impl Filter {
    /// Parses what was typed.
    pub(crate) fn parse(arguments: &FilterArguments) -> Self {
        let tags = arguments.tag.iter();
        Self {
            hosts: arguments.machine.clone(),
            tags: tags
                .map(|list| list.split(',').map(str::to_owned).collect())
                .collect(),
            paths: arguments.path.clone(),
        }
    }

    /// Whether nothing was typed.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.tags.is_empty() && self.paths.is_empty()
    }

    /// Whether a snapshot passes.
    pub(crate) fn passes(&self, snapshot: &Snapshot) -> bool {
        let file = &snapshot.file;
        let has_tag = |tag: &String| {
            if tag.is_empty() {
                file.tags.is_empty()
            } else {
                file.tags.contains(tag)
            }
        };
        let has_host = self.hosts.is_empty() || self.hosts.contains(&file.hostname);
        let has_tags = self.tags.is_empty() || self.tags.iter().any(|all| all.iter().all(has_tag));
        let has_paths = self.paths.iter().all(|path| file.paths.contains(path));
        has_host && has_tags && has_paths
    }
}

/// The snapshots that pass the filter, oldest first; or exactly those named by `ids`.
pub(crate) fn many(
    repository: &Repository,
    ids: &[String],
    filter: &FilterArguments,
) -> Result<Vec<Snapshot>> {
    let filter = Filter::parse(filter);
    let (mut all, unreadable) = snapshots::list_tolerant(repository)?;
    for (id, error) in unreadable {
        let seen = crate::error::chain(&error);
        crate::output::to_stderr(&format!("warning: snapshot {id} is passed over: {seen}"));
    }
    all.retain(|snapshot| filter.passes(snapshot));
    if ids.is_empty() {
        return Ok(all);
    }
    let mut chosen: Vec<Snapshot> = Vec::new();
    for id in ids {
        let found = pick(&all, id)?;
        if !chosen.iter().any(|snapshot| snapshot.id == found.id) {
            chosen.push(found.clone());
        }
    }
    Ok(chosen)
}

/// The one snapshot that is meant.
///
/// Errors: `NotFound`; `Invalid` where the latest of a name would be that of any of several
/// machines.
pub(crate) fn one(
    context: &Context,
    repository: &Repository,
    id: &str,
    point: &PointArguments,
) -> Result<Snapshot> {
    let mut all = many(repository, &[], &point.filter)?;
    let filter = &point.filter;
    if id == "latest"
        && !filter.machine.is_empty()
        && filter.tag.is_empty()
        && filter.path.is_empty()
    {
        // A machine is meant, not files of it, if there are both.
        let is_machine = |it: &Snapshot| label::read(&it.file).is_some();
        if all.iter().any(is_machine) {
            all.retain(is_machine);
        }
    }
    if let Some(text) = &point.at {
        let time = parse_time(text)?;
        all.retain(|snapshot| snapshot.file.time.timestamp() <= time);
        if all.is_empty() {
            let message =
                format!("no snapshot at or before {text}: 'lifeboat snapshots' lists them");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
    }
    if id == "latest" && filter.machine.len() == 1 {
        require_one_machine(context, &all, "")?;
    }
    pick(&all, id).cloned()
}

/// A machine's snapshot: `web01`, `web01@latest`, `web01@2026-11-20T03:00`, `web01@1a2b3c4d`.
///
/// A name that has an `@` itself is found too, if nothing follows it or another `@` does.
///
/// Errors: `NotFound`; `Invalid` where the latest of a name would be that of any of several
/// machines.
pub(crate) fn machine_point(
    context: &Context,
    repository: &Repository,
    text: &str,
) -> Result<Snapshot> {
    let all = many(repository, &[], &FilterArguments::default())?;
    let of = |name: &str| -> Vec<Snapshot> {
        let is_meant = |it: &&Snapshot| label::read(&it.file).is_some_and(|vm| vm.as_str() == name);
        all.iter().filter(is_meant).cloned().collect()
    };
    let (mut found, mut point) = (of(text), None);
    if found.is_empty()
        && let Some((name, after)) = text.rsplit_once('@')
    {
        (found, point) = (of(name), Some(after));
    }
    if found.is_empty() {
        let message =
            format!("no snapshot of a machine \"{text}\": 'lifeboat snapshots' lists them");
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let is_id = |it: &&str| it.len() >= 4 && it.bytes().all(|digit| digit.is_ascii_hexdigit());
    if point.filter(is_id).is_none() {
        let name = found.last().map_or("", |it| &it.file.hostname);
        require_one_machine(context, &found, &format!("{name}@"))?;
    }
    match point {
        None | Some("latest") => pick(&found, "latest").cloned(),
        Some(id) if is_id(&id) => pick(&found, id).cloned(),
        Some(time) => {
            let moment = parse_time(time)?;
            found.retain(|snapshot| snapshot.file.time.timestamp() <= moment);
            let last = found.pop();
            last.ok_or_else(|| {
                let message = format!("no snapshot of that machine at or before {time}");
                Error::new(ErrorKind::NotFound, message)
            })
        }
    }
}

/// Refuses to choose among the snapshots of several machines of one name, as far as the jobs of
/// the configuration tell them apart. `before` stands before an id where it is typed.
fn require_one_machine(context: &Context, found: &[Snapshot], before: &str) -> Result<()> {
    let mut newest: BTreeMap<&str, &Snapshot> = BTreeMap::new();
    for snapshot in found {
        let mut tags = snapshot.file.tags.iter();
        if let Some(job) = tags.find_map(|tag| tag.strip_prefix("job=")) {
            newest.insert(job, snapshot);
        }
    }
    if newest.len() < 2 {
        return Ok(());
    }
    let mut machines: BTreeMap<String, &Snapshot> = BTreeMap::new();
    for (job, snapshot) in newest {
        if let Some(platform) = context.platform_of_job(job) {
            let kept = machines.entry(platform).or_insert(snapshot);
            if snapshot.file.time.timestamp() > kept.file.time.timestamp() {
                *kept = snapshot;
            }
        }
    }
    if machines.len() < 2 {
        return Ok(());
    }
    let one = |(platform, snapshot): (&String, &&Snapshot)| {
        format!(
            "{before}{} is the newest of @{platform}",
            snapshot.id.short()
        )
    };
    let message = format!(
        "machines of {} platforms have this name here: say which one by a snapshot; {}",
        machines.len(),
        machines.iter().map(one).collect::<Vec<_>>().join(", ")
    );
    Err(Error::new(ErrorKind::Invalid, message))
}

/// `latest` or the beginning of an id.
pub(crate) fn pick<'a>(all: &'a [Snapshot], id: &str) -> Result<&'a Snapshot> {
    let id = id.split(':').next().unwrap_or(id);
    if id != "latest" {
        return Ok(snapshots::find_by_prefix(all, id)?);
    }
    all.last().ok_or_else(|| {
        let message = "no snapshot matches: 'lifeboat snapshots' lists them";
        Error::new(ErrorKind::NotFound, message)
    })
}

/// Reads `2026-11-20`, `2026-11-20T03:00`, with or without a zone's offset; else local time.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp> {
    parse_time_in(text, &jiff::tz::TimeZone::system())
}

/// As [`parse_time`], without an offset in this zone.
pub(crate) fn parse_time_in(text: &str, zone: &jiff::tz::TimeZone) -> Result<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let rule = "write it like 2026-11-20T03:00 or 2026-11-20T03:00:00+01:00";
    let wrong = || Error::from(ParseError::new("time", text, rule));
    let local: DateTime = text.replace(' ', "T").parse().map_err(|_| wrong())?;
    let zoned = local.to_zoned(zone.clone()).map_err(|_| wrong())?;
    Ok(zoned.timestamp())
}

/// Refuses to go below a path that is nested too deeply: a hostile tree would end the stack.
pub(crate) fn require_depth(path: &str) -> Result<()> {
    let depth = path.bytes().filter(|byte| *byte == b'/').count();
    if depth <= TREE_DEPTH_MAX as usize {
        return Ok(());
    }
    let start: String = path.chars().take(60).collect();
    let message = format!(
        "below \"{start}...\" the snapshot is nested deeper than {TREE_DEPTH_MAX} folders: choose \
         another part of it"
    );
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// Walks from a tree to the node at `path`.
pub(crate) fn node_at(reader: &mut BlobReader<'_>, root: &BlobId, path: &str) -> Result<Node> {
    Ok(lifeboat_control::node_at(reader, root, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_end_at_a_depth_that_no_real_tree_has() {
        assert!(require_depth(&"/a".repeat(1024)).is_ok());
        let error = require_depth(&"/a".repeat(1025)).unwrap_err();
        assert!(error.to_string().contains("deeper than 1024 folders"));
    }
}
