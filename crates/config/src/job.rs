//! What is backed up.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use crate::section::Section;

/// A job: machines of a platform go into a repository by a policy.
#[derive(Clone, Debug)]
pub struct JobEntry<J> {
    /// The platform's name.
    pub platform: String,
    /// The repository's name.
    pub repository: String,
    /// The policy's name, if it has one.
    pub policy: Option<String>,
    /// Whether it is run by its schedule.
    pub is_enabled: bool,
    /// It begins only when these have ended well.
    pub after: Vec<String>,
    /// How machines are captured.
    pub capture: J,
}

/// The names that jobs may use.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) platforms: BTreeSet<String>,
    pub(crate) repositories: BTreeSet<String>,
    pub(crate) policies: BTreeSet<String>,
    pub(crate) jobs: BTreeSet<String>,
}

impl<J: DeserializeOwned> JobEntry<J> {
    pub(crate) fn read(section: Section<'_>, names: &Names) -> Option<Self> {
        let named = |key, hint, what, known: &BTreeSet<String>| {
            let name = section.needed(key, hint)?;
            is_known(&section, key, (what, &name), known).then_some(name)
        };
        let platform = named(
            "platform",
            "platform = \"NAME\", a name of [platforms.NAME]",
            "platform",
            &names.platforms,
        );
        let repository = named(
            "repository",
            "repository = \"NAME\", a name of [repositories.NAME]",
            "repository",
            &names.repositories,
        );
        let policy = section.text("policy");
        let policy =
            policy.filter(|name| is_known(&section, "policy", ("policy", name), &names.policies));
        let mut after = section.texts("after");
        after.retain(|name| is_known(&section, "after", ("job", name), &names.jobs));
        let is_enabled = section.flag("enabled", true);
        let capture = section.rest();
        Some(Self {
            platform: platform?,
            repository: repository?,
            policy,
            is_enabled,
            after,
            capture: capture?,
        })
    }
}

fn is_known(
    section: &Section<'_>,
    key: &str,
    (what, name): (&str, &str),
    known: &BTreeSet<String>,
) -> bool {
    let is_known = known.contains(name);
    if !is_known {
        section.refuse_name(key, (what, name), known.iter().map(String::as_str));
    }
    is_known
}

/// A job that waits for itself, and through which others, if there is one.
pub(crate) fn circle<J>(jobs: &BTreeMap<String, JobEntry<J>>) -> Option<Vec<&str>> {
    let mut ended = BTreeSet::new();
    for first in jobs.keys() {
        let mut path = Vec::new();
        if let Some(circle) = follow(jobs, first, &mut path, &mut ended) {
            return Some(circle);
        }
    }
    None
}

/// Limit: as deep as there are jobs.
fn follow<'j, J>(
    jobs: &'j BTreeMap<String, JobEntry<J>>,
    name: &'j str,
    path: &mut Vec<&'j str>,
    ended: &mut BTreeSet<&'j str>,
) -> Option<Vec<&'j str>> {
    if let Some(at) = path.iter().position(|it| *it == name) {
        let mut circle = path.split_off(at);
        circle.push(name);
        return Some(circle);
    }
    if ended.contains(name) {
        return None;
    }
    path.push(name);
    for next in jobs.get(name).into_iter().flat_map(|job| &job.after) {
        if let Some(circle) = follow(jobs, next, path, ended) {
            return Some(circle);
        }
    }
    path.pop();
    ended.insert(name);
    None
}
