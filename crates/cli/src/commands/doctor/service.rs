//! Whether the service works: its node, its unit, its catalog, its audit log.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use jiff::SignedDuration;
use lifeboat_catalog::{Catalog, Node};
use lifeboat_config::Loaded;
use lifeboat_control::Job;

use super::{Check, Verdict, repositories};
use crate::context::Context;
use crate::service::{LOOK, RUN, Service, audit_head, catalog_file, state_of};
use crate::tables::{count, moment, shown, span};

/// A node that was not seen for so long has ended.
const NODE_SILENT: SignedDuration = SignedDuration::from_mins(5);
/// Is there where systemd runs.
const SYSTEMD: &str = "/run/systemd/system";
/// Clocks that differ by more decide differently what is due.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(5);

/// Looks at the service of this host.
pub(super) fn look(context: &Context, loaded: Loaded<Job>, checks: &mut Vec<Check>) {
    let unit = unit();
    let starts = unit.as_ref().is_some_and(|it| it.verdict == Verdict::Well);
    checks.extend(unit);
    if !loaded.is_sound() {
        let seen = "it is not looked at while the configuration has errors";
        return checks.push(Check::skipped(("catalog", ""), seen));
    }
    let file = state_of(&loaded.config)
        .ok()
        .and_then(|state| catalog_file(&loaded.config, &state));
    if let Some(file) = file.filter(|file| !file.exists()) {
        let shown = file.display().to_string();
        let seen = "it is made by the first run";
        return checks.push(Check::skipped(("catalog", &shown), seen));
    }
    match Service::of(context, context.configuration_path(), loaded, Vec::new()) {
        Ok(service) => of_service(context, &service, starts, checks),
        Err(error) => {
            let advice = "look at [catalog] of the configuration";
            checks.push(Check::wrong(("catalog", ""), error.to_string(), advice));
        }
    }
}

fn of_service(context: &Context, service: &Service, starts: bool, checks: &mut Vec<Check>) {
    let catalog = &service.catalog;
    checks.push(whole(catalog));
    checks.extend(clock(catalog));
    checks.push(audit(context, service));
    let (node, runs) = node(service);
    checks.push(node);
    checks.extend(others(service));
    if !runs {
        checks.push(listening(service));
        checks.extend(begun(service, starts));
    }
    for facts in catalog.repositories().unwrap_or_default() {
        let Some(entry) = service.loaded.config.repositories.get(&facts.name) else {
            continue;
        };
        if let (Some(most), Some(size)) = (entry.size_max, facts.size) {
            checks.push(repositories::size(&facts.name, size.bytes, most));
        }
        checks.push(repositories::checked(entry, &facts, catalog.now()));
    }
}

/// Nodes of other hosts that have ended without a word.
fn others(service: &Service) -> Vec<Check> {
    let name = service.node_name();
    let nodes = service.catalog.nodes().unwrap_or_default();
    let is_run = |node: &Node| node.name.contains(RUN) || node.name.contains(LOOK);
    let others = nodes
        .into_iter()
        .filter(|it| it.name != name && !is_run(it));
    let silent = |node: &Node| service.catalog.now().duration_since(node.seen) > NODE_SILENT;
    let told = others.filter(silent).map(|node| {
        Check::warning(
            ("service.node", &shown(&node.name)),
            format!("it ended without a word, last seen {}", moment(node.seen)),
            "start lifeboat there; its tasks go to other nodes meanwhile",
        )
    });
    told.collect()
}

/// Whether anything begins jobs that have a schedule.
fn begun(service: &Service, starts: bool) -> Option<Check> {
    let config = &service.loaded.config;
    let timed = |job: &lifeboat_config::JobEntry<Job>| {
        let policy = job.policy.as_ref().and_then(|it| config.policies.get(it));
        job.is_enabled && policy.is_some_and(|it| it.timing.is_some())
    };
    let jobs: Vec<&str> = config
        .jobs
        .iter()
        .filter(|(_, job)| timed(job))
        .map(|(name, _)| name.as_str())
        .collect();
    if starts || jobs.is_empty() || !Path::new(SYSTEMD).exists() {
        return None;
    }
    let asked = Command::new("systemctl")
        .args(["list-unit-files", "--state=enabled", "--no-legend"])
        .arg("lifeboat-run@*.timer")
        .output();
    let told = String::from_utf8_lossy(&asked.ok()?.stdout).into_owned();
    let without = jobs.iter().filter(|job| {
        let timer = format!("lifeboat-run@{job}.timer");
        !told.split_whitespace().any(|word| word == timer)
    });
    let without: Vec<&str> = without.copied().collect();
    Some(match without.first() {
        None => Check::well(("service.timer", ""), "timers begin every job"),
        Some(first) => Check::warning(
            ("service.timer", &without.join(", ")),
            "neither the service nor a timer begins it",
            format!(
                "systemctl enable --now lifeboat, or lifeboat-run@{first}.timer; cron does as well"
            ),
        ),
    })
}

fn whole(catalog: &Catalog) -> Check {
    let about = ("catalog", "");
    let advice = "stop the service, put catalog.sqlite and its companions away, and start again: \
                  recovery points are read anew from the repositories";
    match catalog.quick_check() {
        Ok(found) if found.is_empty() => Check::well(about, "the database is whole"),
        Ok(found) => Check::wrong(about, found.join("; "), advice),
        Err(error) => Check::wrong(about, error.to_string(), advice),
    }
}

fn clock(catalog: &Catalog) -> Option<Check> {
    let server = catalog.server_time().ok()??;
    let about = ("clock.catalog", "");
    let differs = catalog.now().duration_since(server).abs();
    Some(match differs > SKEW_MAX {
        true => Check::wrong(
            about,
            format!(
                "the clock of the database's server differs by {}",
                span(differs.unsigned_abs())
            ),
            "set both clocks by NTP",
        ),
        false => Check::well(about, "the database's server has the same time"),
    })
}

fn audit(context: &Context, service: &Service) -> Check {
    let about = ("audit", "");
    if matches!(service.catalog.audit_entries(None, 1), Ok(it) if it.is_empty()) {
        return Check::skipped(about, "nothing was written into it yet");
    }
    let key = service.audit_key(context);
    let head = audit_head(&service.state);
    let report = key.and_then(|key| Ok(service.catalog.verify_audit(&key, head.as_ref())?));
    let advice = "somebody changed what was written: 'lifeboat audit verify' shows all of it";
    match report {
        Ok(report) => match report.flaws.first() {
            None => Check::well(about, format!("{} entries, as written", report.entries)),
            Some(flaw) => {
                let all = count(report.flaws.len(), "flaw");
                Check::wrong(about, format!("{all}, the first: {flaw}"), advice)
            }
        },
        Err(error) => Check::wrong(about, error.to_string(), "look at the folder of the state"),
    }
}

/// Whether the service of this host runs.
fn node(service: &Service) -> (Check, bool) {
    let name = service.node_name();
    let about = ("service.node", name.as_str());
    let nodes = service.catalog.nodes().unwrap_or_default();
    let Some(node) = nodes.iter().find(|node| node.name == name) else {
        let seen = "it does not run here; that is right where timers run the jobs";
        return (Check::skipped(about, seen), false);
    };
    let silent = service.catalog.now().duration_since(node.seen);
    match silent > NODE_SILENT {
        true => (
            Check::wrong(
                about,
                format!("it ended without a word, last seen {}", moment(node.seen)),
                "systemctl start lifeboat; journalctl -u lifeboat says why it ended",
            ),
            false,
        ),
        false if node.version != env!("CARGO_PKG_VERSION") => (
            Check::warning(
                about,
                format!("it runs version {}", node.version),
                "systemctl restart lifeboat, so that it is of this version too",
            ),
            true,
        ),
        false => (
            Check::well(about, format!("seen {}", moment(node.seen))),
            true,
        ),
    }
}

/// Whether the service could listen.
fn listening(service: &Service) -> Check {
    let address = service.loaded.config.server.listen;
    let shown = address.to_string();
    let about = ("service.listen", shown.as_str());
    match TcpListener::bind(address) {
        Ok(_) => Check::well(about, "the service could listen there"),
        Err(error) => Check::warning(
            about,
            format!("the service could not listen there: {error}"),
            "another program has it: change listen in [server]",
        ),
    }
}

/// Whether the unit is enabled, where systemd runs.
fn unit() -> Option<Check> {
    if !Path::new(SYSTEMD).exists() {
        return None;
    }
    let about = ("service.unit", "lifeboat.service");
    let asked = Command::new("systemctl")
        .args(["is-enabled", "lifeboat.service"])
        .output();
    let told = String::from_utf8_lossy(&asked.ok()?.stdout)
        .trim()
        .to_owned();
    Some(match told.as_str() {
        "enabled" => Check::well(about, "it starts with the computer"),
        "" | "not-found" => Check::skipped(about, "it is not installed"),
        other => Check::warning(
            about,
            format!("it is {other}: after a restart nothing runs by schedule"),
            "systemctl enable --now lifeboat, unless timers run the jobs",
        ),
    })
}
