//! What is backed up.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use crate::place::carried_over;
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
    /// Repositories that get a copy of every point.
    pub copies_to: Vec<String>,
    /// Why it is not carried out, if it came from another program; then it is not enabled.
    pub carried_over: Option<String>,
    /// How machines are captured.
    pub capture: J,
}

/// The names that entries may use.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) sites: BTreeSet<String>,
    pub(crate) platforms: BTreeSet<String>,
    pub(crate) repositories: BTreeSet<String>,
    pub(crate) policies: BTreeSet<String>,
    pub(crate) jobs: BTreeSet<String>,
    pub(crate) targets: BTreeSet<String>,
    pub(crate) escalations: BTreeSet<String>,
}

impl Names {
    /// The site that an entry names. Without any [sites] every name will do.
    pub(crate) fn site(&self, section: &Section<'_>) -> Option<String> {
        let site = section.text("site")?;
        let is_good = self.sites.is_empty() || is_known(section, "site", &site, &self.sites);
        is_good.then_some(site)
    }
}

impl<J: DeserializeOwned> JobEntry<J> {
    pub(crate) fn read(section: Section<'_>, names: &Names) -> Option<Self> {
        let hint = "platform = \"NAME\", a name of [platforms.NAME]";
        let platform = section.needed("platform", hint);
        let platform =
            platform.filter(|name| is_known(&section, "platform", name, &names.platforms));
        let hint = "repository = \"NAME\", a name of [repositories.NAME]";
        let repository = section.needed("repository", hint);
        let repository =
            repository.filter(|name| is_known(&section, "repository", name, &names.repositories));
        let policy = section.text("policy");
        let policy = policy.filter(|name| is_known(&section, "policy", name, &names.policies));
        let after = known(&section, "after", "job", &names.jobs);
        let copies_to = known(&section, "copies_to", "repository", &names.repositories);
        if repository.as_ref().is_some_and(|it| copies_to.contains(it)) {
            let next = "name others: the job's points are there already";
            section.refuse_with("copies_to", "it names the job's own repository", next);
        }
        let is_enabled = section.flag("enabled", true);
        let carried_over = carried_over(&section);
        let capture = section.rest();
        Some(Self {
            platform: platform?,
            repository: repository?,
            policy,
            is_enabled: is_enabled && carried_over.is_none(),
            after,
            copies_to,
            carried_over,
            capture: capture?,
        })
    }
}

/// The names of a list that are there; the others are findings.
pub(crate) fn known(
    section: &Section<'_>,
    key: &'static str,
    what: &str,
    known: &BTreeSet<String>,
) -> Vec<String> {
    let mut names = section.texts(key);
    names.retain(|name| {
        let is_known = known.contains(name);
        if !is_known {
            section.refuse_name(key, (what, name), known.iter().map(String::as_str));
        }
        is_known
    });
    names
}

/// Whether a name is there; the key says of what kind it is.
pub(crate) fn is_known(
    section: &Section<'_>,
    key: &str,
    name: &str,
    known: &BTreeSet<String>,
) -> bool {
    let is_known = known.contains(name);
    if !is_known {
        section.refuse_name(key, (key, name), known.iter().map(String::as_str));
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
