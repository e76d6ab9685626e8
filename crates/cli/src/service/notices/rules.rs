//! Who is told what, as it is configured.

use std::collections::BTreeMap;

use lifeboat_config::{
    Config, EscalationEntry, NoticeSeverity, PerRun, RouteEntry, TargetEntry, TargetKind,
};
use lifeboat_control::Job;
use lifeboat_notify::{
    DigestRule, Escalation, Level, Pattern, Route, Rules, RunRule, Severity, When,
};

/// Who sends, for subjects.
pub(crate) fn label(site: Option<&str>) -> String {
    site.map_or_else(|| "lifeboat".to_owned(), |site| format!("lifeboat {site}"))
}

/// The rules of a configuration.
pub(super) fn rules(config: &Config<Job>) -> Rules {
    let notifications = &config.notifications;
    let routes = &notifications.routes;
    let targets = &notifications.targets;
    let digests = routes.iter().filter(|it| it.digest.is_some());
    Rules {
        label: label(config.site.as_deref()),
        link: notifications.dashboard.clone(),
        routes: routes.iter().map(route).collect(),
        escalations: notifications.escalations.iter().map(escalation).collect(),
        runs: routes.iter().flat_map(|it| of_runs(it, targets)).collect(),
        digests: digests
            .map(|it| DigestRule {
                name: it.name.clone(),
                at: None,
                zone: it.zone.clone(),
                targets: it.to.clone(),
            })
            .collect(),
    }
}

fn patterns(texts: &[String]) -> Vec<Pattern> {
    texts.iter().map(Pattern::new).collect()
}

fn route(entry: &RouteEntry) -> Route {
    let severities = entry.severities.iter().map(|severity| match severity {
        NoticeSeverity::Info => Severity::Info,
        NoticeSeverity::Warning => Severity::Warning,
        NoticeSeverity::Critical => Severity::Critical,
    });
    Route {
        name: entry.name.clone(),
        severities: severities.collect(),
        sites: patterns(&entry.sites),
        jobs: patterns(&entry.jobs),
        machines: patterns(&entry.machines),
        repositories: patterns(&entry.repositories),
        targets: entry.to.clone(),
        escalation: entry.escalation.clone(),
        group_wait: entry.group_wait,
        repeat_every: entry.repeat_every,
        is_end_quiet: !entry.tells_resolved,
        per_hour: Some(entry.per_hour),
    }
}

fn escalation((name, entry): (&String, &EscalationEntry)) -> Escalation {
    let levels = entry.levels.iter().map(|level| Level {
        targets: level.to.clone(),
        respond_within: level.respond_within,
    });
    Escalation {
        name: name.clone(),
        levels: levels.collect(),
    }
}

/// Runs that a route tells of, and beginnings for those who hear of every end.
fn of_runs(entry: &RouteEntry, targets: &BTreeMap<String, TargetEntry>) -> Vec<RunRule> {
    let when = match entry.per_run {
        PerRun::Never => return Vec::new(),
        PerRun::Failure => When::Failure,
        PerRun::Warning => When::Warning,
        PerRun::Always => When::Always,
    };
    let ends = RunRule {
        sites: patterns(&entry.sites),
        jobs: patterns(&entry.jobs),
        when,
        beginnings: false,
        targets: entry.to.clone(),
    };
    let wants_start = |name: &&String| match targets.get(*name).map(|it| &it.kind) {
        Some(TargetKind::Ping(ping)) => ping.tells_start,
        _ => false,
    };
    let beginnings = RunRule {
        when: When::Never,
        beginnings: true,
        targets: entry.to.iter().filter(wants_start).cloned().collect(),
        ..ends.clone()
    };
    match when {
        When::Always => vec![ends, beginnings],
        _ => vec![ends],
    }
}
