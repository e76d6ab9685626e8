//! What is wrong between entries.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::document::Document;
use crate::finding::{Finding, Severity};
use crate::job::circle;
use crate::read::Config;
use crate::section::{Record, Section};

/// Finds what no entry shows by itself; jobs that cannot run are not enabled.
pub(crate) fn check<J>(
    config: &mut Config<J>,
    documents: &[Document<'_>],
    record: &RefCell<Record>,
) {
    let whole = Whole { documents, record };
    whole.refuse_circles(config);
    whole.warn_of_unused(config);
    whole.warn_of_copies(config);
    whole.stop_carried(config);
}

struct Whole<'a> {
    documents: &'a [Document<'a>],
    record: &'a RefCell<Record>,
}

impl<'a> Whole<'a> {
    fn section(&self, key: &'static str, name: &str) -> Option<Section<'a>> {
        self.documents.iter().find_map(|document| {
            let root = Section::root(document, self.record);
            root.table_at(key, name)
        })
    }

    fn refuse_circles<J>(&self, config: &Config<J>) {
        let Some(circle) = circle(&config.jobs) else {
            return;
        };
        let first = circle.first().copied().unwrap_or_default();
        if let Some(section) = self.section("jobs", first) {
            let circle = circle.join(" -> ");
            let why = format!("jobs wait in a circle: {circle}");
            section.refuse_with("after", &why, "take one of them out of its after");
        }
    }

    /// Not where something is wrong: what uses it may be among that.
    fn warn_of_unused<J>(&self, config: &Config<J>) {
        let is_error = |it: &Finding| it.severity == Severity::Error;
        if self.record.borrow().findings.iter().any(is_error) {
            return;
        }
        let jobs = config.jobs.values();
        let used: BTreeSet<&str> = jobs.filter_map(|job| job.policy.as_deref()).collect();
        let policies = config.policies.keys();
        for name in policies.filter(|name| !used.contains(name.as_str())) {
            if let Some(section) = self.section("policies", name) {
                let next = format!("write policy = \"{name}\" in a job, or remove it");
                section.warn_of_table("no job uses it", &next);
            }
        }
        self.warn_of_unused_targets(config);
    }

    /// Ways to people that nothing goes.
    fn warn_of_unused_targets<J>(&self, config: &Config<J>) {
        for name in config.notifications.unused_targets() {
            let sections = self.documents.iter().filter_map(|document| {
                let root = Section::root(document, self.record);
                root.table("notifications").table_at("targets", name)
            });
            for section in sections {
                let next = format!("write to = [\"{name}\"] in [[notifications.routes]]");
                section.warn_of_table("no route leads to it: nothing is told this way", &next);
            }
        }
    }

    /// Copies that are promised and that no repository is named for.
    fn warn_of_copies<J>(&self, config: &Config<J>) {
        for (name, job) in &config.jobs {
            let policy = job.policy.as_ref().and_then(|it| config.policies.get(it));
            let Some(promised) = policy.and_then(|it| it.objectives.copies) else {
                continue;
            };
            let places: BTreeSet<_> = job.copies_to.iter().chain([&job.repository]).collect();
            if places.len() < promised as usize
                && let Some(section) = self.section("jobs", name)
            {
                let why = format!(
                    "its policy promises {promised} copies, and it names {}",
                    match places.len() {
                        1 => "one repository".to_owned(),
                        number => format!("{number} repositories"),
                    }
                );
                section.warn("policy", why, "write copies_to = [\"REPOSITORY\"]");
            }
        }
    }

    fn stop_carried<J>(&self, config: &mut Config<J>) {
        let platforms = stopped(&config.platforms, |it| it.carried_over.is_some());
        let repositories = stopped(&config.repositories, |it| it.carried_over.is_some());
        for (name, job) in &mut config.jobs {
            let (key, why) = if platforms.contains(&job.platform) {
                (
                    "platform",
                    "its platform is carried over, so it does not run",
                )
            } else if repositories.contains(&job.repository) {
                (
                    "repository",
                    "its repository is carried over, so it does not run",
                )
            } else {
                continue;
            };
            job.is_enabled = false;
            if let Some(section) = self.section("jobs", name) {
                section.warn(key, why, "name one that can be used");
            }
        }
    }
}

/// The names of entries that are only carried over.
fn stopped<E>(entries: &BTreeMap<String, E>, is_carried: impl Fn(&E) -> bool) -> BTreeSet<String> {
    let carried = entries.iter().filter(|(_, entry)| is_carried(entry));
    carried.map(|(name, _)| name.clone()).collect()
}
