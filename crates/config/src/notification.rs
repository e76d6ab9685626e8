//! Who is told what, and by which way.

mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::tz::TimeZone;
use lifeboat_policy::Schedule;

use crate::finding::nearest;
use crate::job::{Names, is_known, known};
use crate::section::Section;

pub use target::{
    PingEntry, PingFailure, PingMethod, SmtpEncryption, SmtpEntry, TargetEntry, TargetKind,
    WebhookEntry,
};

/// Everything about notices.
#[derive(Clone, Debug, Default)]
pub struct Notifications {
    /// The dashboard, where people reach it: links begin so; without a slash at its end.
    pub dashboard: Option<String>,
    /// Ways, by name.
    pub targets: BTreeMap<String, TargetEntry>,
    /// Which notice goes where; every route that fits is used.
    pub routes: Vec<RouteEntry>,
    /// Who is asked next when nobody answers.
    pub escalations: BTreeMap<String, EscalationEntry>,
}

/// How bad a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeSeverity {
    /// Good to know.
    Info,
    /// Look at it in working hours.
    Warning,
    /// Look at it now.
    Critical,
}

/// Of which runs every one is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerRun {
    /// Of none: only conditions are told.
    Never,
    /// Of those that failed.
    Failure,
    /// Of those that failed or gave warnings.
    Warning,
    /// Of every run.
    Always,
}

/// Which notices go where.
#[derive(Clone, Debug)]
pub struct RouteEntry {
    /// One of its kind; its number unless given.
    pub name: String,
    /// Of these severities; none stands for all.
    pub severities: Vec<NoticeSeverity>,
    /// Of sites with these names or patterns; none stands for all.
    pub sites: Vec<String>,
    /// Of such jobs.
    pub jobs: Vec<String>,
    /// Of such machines.
    pub machines: Vec<String>,
    /// Of such repositories.
    pub repositories: Vec<String>,
    /// Names of targets.
    pub to: Vec<String>,
    /// The name of an escalation.
    pub escalation: Option<String>,
    /// Of which runs every one is told.
    pub per_run: PerRun,
    /// Whether the end of a condition is told.
    pub tells_resolved: bool,
    /// Everything since the last one in one notice, at these moments.
    pub digest: Option<Schedule>,
    /// The zone of these moments.
    pub zone: TimeZone,
    /// So long notices are gathered into one.
    pub group_wait: Duration,
    /// A condition that holds on is told again after this, if at all.
    pub repeat_every: Option<Duration>,
    /// Notices in an hour; what is more waits for the next.
    pub per_hour: u32,
}

/// Who is asked in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscalationEntry {
    /// From the first to the last.
    pub levels: Vec<LevelEntry>,
}

/// Some people and how long they have to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelEntry {
    /// Names of targets.
    pub to: Vec<String>,
    /// When nobody has acknowledged by then, the next level is told.
    pub respond_within: Duration,
}

impl Notifications {
    pub(crate) fn read(section: Section<'_>, names: &Names) -> Self {
        let mut all = Self {
            dashboard: section.parsed_by("dashboard", dashboard),
            ..Self::default()
        };
        for (name, section) in section.tables("targets") {
            if let Some(entry) = TargetEntry::read(section) {
                all.targets.insert(name, entry);
            }
        }
        for (number, section) in section.list("routes").into_iter().enumerate() {
            let earlier: BTreeSet<&str> = all.routes.iter().map(|it| it.name.as_str()).collect();
            let route = RouteEntry::read(section, (number + 1, &earlier), names);
            all.routes.push(route);
        }
        for (name, section) in section.tables("escalations") {
            let entry = EscalationEntry::read(section, names);
            all.escalations.insert(name, entry);
        }
        section.finish();
        all
    }

    /// Targets that no route leads to.
    pub(crate) fn unused_targets(&self) -> Vec<&str> {
        let levels = |route: &'_ RouteEntry| {
            let escalation = route.escalation.as_ref();
            escalation.and_then(|name| self.escalations.get(name))
        };
        let chains = self.routes.iter().filter_map(levels);
        let of_chains = chains.flat_map(|it| &it.levels).flat_map(|it| &it.to);
        let of_routes = self.routes.iter().flat_map(|it| &it.to);
        let used: BTreeSet<&String> = of_routes.chain(of_chains).collect();
        let names = self.targets.keys().filter(|name| !used.contains(name));
        names.map(String::as_str).collect()
    }
}

fn dashboard(text: &str) -> Result<String, &'static str> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_address = rest.is_some_and(|rest| {
        let is_strange = |letter: char| letter.is_whitespace() || letter.is_control();
        !rest.is_empty() && !rest.contains(['?', '#']) && !rest.contains(is_strange)
    });
    let rule = "it is no address of a dashboard: write https://backup.example.org:8443";
    let address = is_address.then(|| text.trim_end_matches('/').to_owned());
    address.ok_or(rule)
}

const SEVERITIES: &[&str] = &["info", "warning", "critical"];
const PER_RUN: &[&str] = &["never", "failure", "warning", "always"];

impl RouteEntry {
    /// `earlier` are the names of routes before it.
    fn read(
        section: Section<'_>,
        (number, earlier): (usize, &BTreeSet<&str>),
        names: &Names,
    ) -> Self {
        let name = section.text("name").unwrap_or_else(|| number.to_string());
        if earlier.contains(name.as_str()) {
            let why = format!("there is a route \"{name}\" before it");
            section.refuse_with("name", &why, "write a name of its own");
        }
        let severities = {
            use NoticeSeverity::{Critical, Info, Warning};
            section.words("severity", SEVERITIES, &[Info, Warning, Critical])
        };
        let escalation = section.text("escalation");
        let escalation =
            escalation.filter(|name| is_known(&section, "escalation", name, &names.escalations));
        let per_run = {
            use PerRun::{Always, Failure, Never, Warning};
            section.word_or_first("per_run", PER_RUN, &[Never, Failure, Warning, Always])
        };
        let zone = section.zone("zone");
        let entry = Self {
            name,
            severities,
            sites: patterns(&section, "sites", ("site", &names.sites)),
            jobs: patterns(&section, "jobs", ("job", &names.jobs)),
            machines: section.texts("machines"),
            repositories: patterns(
                &section,
                "repositories",
                ("repository", &names.repositories),
            ),
            to: known(&section, "to", "target", &names.targets),
            escalation,
            per_run: per_run.unwrap_or(PerRun::Never),
            tells_resolved: section.flag("resolved", true),
            digest: section.schedule("digest"),
            zone: zone.unwrap_or_else(TimeZone::system),
            group_wait: section.span_or("group_wait", "30s"),
            repeat_every: Some(section.span_or("repeat_every", "4h")).filter(|it| !it.is_zero()),
            per_hour: section.number_or("per_hour", (1, 10_000), 60),
        };
        if !section.holds("to") && !section.holds("escalation") {
            section.refuse_with("to", "it leads nowhere", "write to = [\"TARGET\"]");
        }
        section.finish();
        entry
    }
}

/// Patterns of names; one that is a name and means nothing is warned of.
fn patterns(
    section: &Section<'_>,
    key: &'static str,
    (what, known): (&str, &BTreeSet<String>),
) -> Vec<String> {
    let patterns = section.texts(key);
    let is_name = |it: &&String| !it.contains(['*', '?']);
    let missing = patterns.iter().filter(is_name);
    // Without any [sites] every name will do.
    for name in missing.filter(|it| !known.is_empty() && !known.contains(*it)) {
        let near = nearest(name, known.iter().map(String::as_str));
        let next = match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "it is a name; * stands for any letters, ? for one".to_owned(),
        };
        section.warn(key, format!("there is no {what} \"{name}\""), &next);
    }
    patterns
}

impl EscalationEntry {
    fn read(section: Section<'_>, names: &Names) -> Self {
        let mut levels = Vec::new();
        for level in section.list("levels") {
            let to = known(&level, "to", "target", &names.targets);
            if !level.holds("to") {
                level.refuse_with("to", "nobody is told", "write to = [\"TARGET\"]");
            }
            let respond_within = level.span_or("respond_within", "15m");
            if respond_within.is_zero() {
                let why = "nobody can answer in no time";
                level.refuse_with("respond_within", why, "write respond_within = \"15m\"");
            }
            level.finish();
            levels.push(LevelEntry { to, respond_within });
        }
        if levels.is_empty() && !section.holds("levels") {
            let path = section.path("levels");
            let next = format!("write [[{path}]]");
            section.refuse_with("levels", "there is no level", &next);
        }
        section.finish();
        Self { levels }
    }
}
