//! Who is told what, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use lifeboat_model::ErrorKind;

use crate::pattern::{Pattern, selects};
use crate::{Condition, Error, Result, Severity, Subject};

/// Everything that the configuration says about notices.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Names the sender in subjects, as in `lifeboat berlin`.
    pub label: String,
    /// The dashboard, where people reach it.
    pub link: Option<String>,
    /// In the order of their precedence: a target of two routes is told by the first.
    pub routes: Vec<Route>,
    /// Chains of people.
    pub escalations: Vec<Escalation>,
    /// Notices about runs.
    pub runs: Vec<RunRule>,
    /// Daily digests.
    pub digests: Vec<DigestRule>,
}

/// Which conditions go to which targets, and how often.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Names it; one of its kind.
    pub name: String,
    /// The severities it takes; none takes all.
    pub severities: Vec<Severity>,
    /// The sites it takes; none takes all, and so the next three.
    pub sites: Vec<Pattern>,
    /// The jobs.
    pub jobs: Vec<Pattern>,
    /// The machines.
    pub machines: Vec<Pattern>,
    /// The repositories.
    pub repositories: Vec<Pattern>,
    /// Who is told at once.
    pub targets: Vec<String>,
    /// Whose turn it is when nobody acknowledges; its first level is told at once, too.
    pub escalation: Option<String>,
    /// How long a condition must hold; those that begin meanwhile go into the same notice.
    pub group_wait: Duration,
    /// A condition that holds and that nobody acknowledged is told again after this time.
    pub repeat_every: Option<Duration>,
    /// Whether nobody is told that a condition is over.
    pub is_end_quiet: bool,
    /// How many notices a target gets from this route within any 60 minutes (each level of the
    /// escalation counts for itself); a quarter is kept free for critical ones.
    pub per_hour: Option<u32>,
}

/// A chain of people, one level after the other.
#[derive(Clone, Debug, Default)]
pub struct Escalation {
    /// Names it; one of its kind.
    pub name: String,
    /// In the order in which they are told.
    pub levels: Vec<Level>,
}

/// One step of an escalation.
#[derive(Clone, Debug, Default)]
pub struct Level {
    /// Who is told.
    pub targets: Vec<String>,
    /// How long they have to acknowledge before the next level is told.
    pub respond_within: Duration,
}

/// Which ends of runs are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum When {
    /// All.
    Always,
    /// Those with warnings or failures.
    Warning,
    /// Failures.
    #[default]
    Failure,
    /// None.
    Never,
}

/// Who is told about runs. Not limited: there are as many notices as runs.
#[derive(Clone, Debug, Default)]
pub struct RunRule {
    /// The sites; none takes all.
    pub sites: Vec<Pattern>,
    /// The jobs; none takes all.
    pub jobs: Vec<Pattern>,
    /// Which ends are told.
    pub when: When,
    /// Whether beginnings are told, too: for pings.
    pub beginnings: bool,
    /// Who is told.
    pub targets: Vec<String>,
}

/// A summary once a day.
#[derive(Clone, Debug)]
pub struct DigestRule {
    /// Names it; one of its kind.
    pub name: String,
    /// When, on the wall; none for moments of another rule, of which the caller takes care with
    /// [`State::last_digest`](crate::State::last_digest).
    pub at: Option<Time>,
    /// Of which zone.
    pub zone: TimeZone,
    /// Who is told.
    pub targets: Vec<String>,
}

impl Route {
    /// Whether it takes the condition.
    pub fn takes(&self, condition: &Condition) -> bool {
        let Subject {
            site,
            job,
            machine,
            repository,
        } = &condition.subject;
        let is_of_severity =
            self.severities.is_empty() || self.severities.contains(&condition.severity);
        is_of_severity
            && selects(&self.sites, site.as_deref())
            && selects(&self.jobs, job.as_deref())
            && selects(&self.machines, machine.as_deref())
            && selects(&self.repositories, repository.as_deref())
    }
}

impl Rules {
    /// The route of this name.
    pub(crate) fn route(&self, name: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.name == name)
    }

    /// The levels of a route's escalation.
    pub(crate) fn levels(&self, route: &Route) -> &[Level] {
        let name = route.escalation.as_deref();
        let found = self
            .escalations
            .iter()
            .find(|escalation| Some(escalation.name.as_str()) == name);
        found.map_or(&[], |escalation| &escalation.levels)
    }

    /// Every target that a rule names.
    pub fn targets(&self) -> BTreeSet<&str> {
        let routes = self.routes.iter().flat_map(|route| &route.targets);
        let levels = self.escalations.iter().flat_map(|it| &it.levels);
        let runs = self.runs.iter().flat_map(|rule| &rule.targets);
        let digests = self.digests.iter().flat_map(|rule| &rule.targets);
        let all = routes.chain(levels.flat_map(|level| &level.targets));
        all.chain(runs).chain(digests).map(String::as_str).collect()
    }

    /// Refuses rules that could not be followed.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::new(ErrorKind::Invalid, text));
        let mut names = BTreeSet::new();
        for route in &self.routes {
            let name = &route.name;
            if !names.insert(name) {
                return refuse(format!("two routes of notices are called \"{name}\""));
            }
            if route.per_hour == Some(0) {
                let text = "lets no notice through: per_hour must be 1 or more";
                return refuse(format!("the route \"{name}\" {text}"));
            }
            if route.repeat_every.is_some_and(|every| every.is_zero()) {
                let text = "would repeat without end: repeat_every must be longer than 0";
                return refuse(format!("the route \"{name}\" {text}"));
            }
            match &route.escalation {
                Some(chain) if self.levels(route).is_empty() => {
                    let text = format!("names the escalation \"{chain}\", which has no levels");
                    return refuse(format!("the route \"{name}\" {text}"));
                }
                _ if self.begin_targets(route).is_empty() => {
                    return refuse(format!("the route \"{name}\" has no targets"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Who is told at once by a route.
    pub(crate) fn begin_targets<'a>(&'a self, route: &'a Route) -> BTreeSet<&'a str> {
        let first = self.levels(route).first();
        let first = first.into_iter().flat_map(|level| &level.targets);
        route
            .targets
            .iter()
            .chain(first)
            .map(String::as_str)
            .collect()
    }
}
