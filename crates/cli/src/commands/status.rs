//! `lifeboat status`: whether machines can be recovered now, from the catalog alone.

use std::io::IsTerminal;

use lifeboat_catalog::{Alert, AlertSeverity, Run, Task};
use lifeboat_model::ByteCount;
use lifeboat_scheduler::{MachineStatus, Overview};
use serde::Serialize;

use crate::context::Context;
use crate::error::{EXIT_WRONG, Result};
use crate::progress::task_text;
use crate::service::{LeftRun, Service};
use crate::situation::{Answer, Health, Situation, word};
use crate::tables::{Table, moment, shown, span};

/// Machines that are well are not listed when there are more.
const LISTED_MAX: usize = 20;
/// Next runs that are listed.
const NEXT_MAX: usize = 5;

/// Looks and tells.
pub(crate) fn run(context: &Context) -> Result<u8> {
    let service = Service::open(context)?;
    let situation = Situation::look(&service, &*service.node_to_look()?)?;
    if context.output.is_json() {
        context
            .output
            .message("status", &StatusLine::of(&situation))?;
    } else {
        for line in lines(&situation, Paint::of_terminal()) {
            context.output.result(line)?;
        }
    }
    Ok(match situation.answer.health {
        Health::Missed => EXIT_WRONG,
        Health::Well | Health::AtRisk => 0,
    })
}

#[derive(Serialize)]
struct StatusLine<'a> {
    answer: &'a Answer,
    #[serde(flatten)]
    overview: &'a Overview,
    alerts: &'a [Alert],
    running: &'a [Task],
    /// Runs whose command is gone.
    left: Vec<&'a Run>,
}

impl<'a> StatusLine<'a> {
    fn of(situation: &'a Situation) -> Self {
        Self {
            answer: &situation.answer,
            overview: &situation.overview,
            alerts: &situation.alerts,
            running: &situation.running,
            left: situation.left.iter().map(|it| &it.run).collect(),
        }
    }
}

/// Whether words are coloured; they say the same without.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn of_terminal() -> Self {
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|it| !it.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|it| it == "dumb");
        Self(std::io::stdout().is_terminal() && !is_unwanted && !is_dumb)
    }

    fn of(self, health: Health, text: &str) -> String {
        if !self.0 {
            return text.to_owned();
        }
        let color = match health {
            Health::Well => 32,
            Health::AtRisk => 33,
            Health::Missed => 31,
        };
        format!("\x1b[1;{color}m{text}\x1b[0m")
    }
}

fn lines(situation: &Situation, paint: Paint) -> Vec<String> {
    let answer = &situation.answer;
    let mut lines = vec![paint.of(answer.health, &answer.text)];
    let mut part = |head: &str, more: Vec<String>| {
        if !more.is_empty() {
            lines.extend([String::new(), head.to_owned()]);
            lines.extend(more.into_iter().map(|line| format!("  {line}")));
        }
    };
    let overview = &situation.overview;
    part("Machines", machines(overview, paint));
    part("Overdue", overdue(overview));
    part("Alerts", alerts(&situation.alerts, paint));
    part("Running", running(situation));
    part("Left in the middle", left(&situation.left));
    part("Next runs", next(overview));
    part("Repositories", repositories(overview));
    lines
}

fn machines(overview: &Overview, paint: Paint) -> Vec<String> {
    let all = &overview.machines;
    let is_told = |it: &&MachineStatus| all.len() <= LISTED_MAX || word(it).1 != Health::Well;
    let told: Vec<&MachineStatus> = all.iter().filter(is_told).collect();
    if told.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new(&[
        "Machine",
        "State",
        "Newest point",
        ">Points",
        "Proved",
        "Why",
    ]);
    for machine in &told {
        table.row([
            machine.distinct_name(),
            word(machine).0.to_owned(),
            maybe(machine.newest.as_ref().map(|it| it.at), "none"),
            machine.points.to_string(),
            maybe(machine.proved, "never"),
            why(machine),
        ]);
    }
    let mut lines = table.lines();
    for (line, machine) in lines.iter_mut().skip(1).zip(&told) {
        let (word, health) = word(machine);
        // Behind the name, which may hold the same letters.
        let at = shown(&machine.distinct_name()).len();
        let (name, rest) = line.split_at(at.min(line.len()));
        *line = format!("{name}{}", rest.replacen(word, &paint.of(health, word), 1));
    }
    match all.len() - told.len() {
        0 => {}
        more => lines.push(format!("and {more} more, as promised")),
    }
    lines
}

/// Promises that are not kept, in words.
fn why(machine: &MachineStatus) -> String {
    use lifeboat_scheduler::{ObjectiveKind, ObjectiveState};
    let bad = machine
        .objectives
        .iter()
        .filter(|it| it.state != ObjectiveState::Met);
    let one = |it: &lifeboat_scheduler::ObjectiveStatus| {
        let say = |value: u64| match it.kind {
            ObjectiveKind::Copies => value.to_string(),
            _ => span(std::time::Duration::from_secs(value)),
        };
        let measured = it.measured.map_or_else(|| "none yet".to_owned(), say);
        let name = it.kind.as_str();
        format!("{name} {measured}, promised {}", say(it.promised))
    };
    bad.map(one).collect::<Vec<_>>().join("; ")
}

fn maybe(time: Option<jiff::Timestamp>, without: &str) -> String {
    time.map_or_else(|| without.to_owned(), moment)
}

fn overdue(overview: &Overview) -> Vec<String> {
    let late = overview
        .jobs
        .iter()
        .filter_map(|job| Some((job, job.overdue?)));
    late.map(|(job, since)| {
        let name = shown(&job.name);
        let after = job.comes_after.as_deref().map(shown);
        let why = after.map(|other| format!(": it begins after {other}, which has not ended well"));
        let since = moment(since);
        format!(
            "{name} should have begun at {since}{}",
            why.unwrap_or_default()
        )
    })
    .collect()
}

fn alerts(alerts: &[Alert], paint: Paint) -> Vec<String> {
    let one = |alert: &Alert| {
        let (word, health) = match alert.severity {
            AlertSeverity::Critical => ("critical", Health::Missed),
            AlertSeverity::Warning => ("warning", Health::AtRisk),
            AlertSeverity::Info => ("info", Health::Well),
        };
        let seen = match &alert.acknowledged {
            Some(seen) => format!(", seen by {}", shown(&seen.by)),
            None => String::new(),
        };
        let (word, text) = (paint.of(health, word), shown(&alert.text));
        format!("{word}: {text} (since {}{seen})", moment(alert.since))
    };
    alerts.iter().map(one).collect()
}

fn running(situation: &Situation) -> Vec<String> {
    let one = |task: &Task| task_line(task, situation.silent.contains(&task.id));
    situation.running.iter().map(one).collect()
}

/// `backup web01: reading, 1.2 GiB of 8.0 GiB (15 %), 310 MiB/s, 22s left`
fn task_line(task: &Task, is_silent: bool) -> String {
    let mut text = format!("{} {}", task.action, shown(&task.subject));
    if is_silent {
        let node = shown(task.node.as_deref().unwrap_or("its node"));
        text += &format!(": nothing more is heard of {node}");
    }
    match task_text(task) {
        Some(progress) => format!("{text}: {progress}"),
        None => text,
    }
}

/// Runs that commands of this host left in the middle.
fn left(left: &[LeftRun]) -> Vec<String> {
    let one = |it: &LeftRun| {
        format!(
            "run {} of {}: the command that carried it out ({}) is gone; a service goes on with \
             it, or the next 'lifeboat run' ends it",
            it.run.id,
            shown(&it.run.job),
            it.node
        )
    };
    left.iter().map(one).collect()
}

fn next(overview: &Overview) -> Vec<String> {
    let jobs = overview.jobs.iter();
    let mut next: Vec<_> = jobs
        .filter_map(|job| Some((job.next?, &job.name)))
        .collect();
    next.sort();
    next.truncate(NEXT_MAX);
    let one = |(at, name): (jiff::Timestamp, &String)| format!("{}  {}", moment(at), shown(name));
    next.into_iter().map(one).collect()
}

fn repositories(overview: &Overview) -> Vec<String> {
    if overview.repositories.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new(&["Repository", ">Size", ">Points", "Checked", "Place"]);
    for it in &overview.repositories {
        let checked = match (it.facts.checked, it.facts.is_ok) {
            (None, _) => "never".to_owned(),
            (Some(at), Some(false)) => format!("{}, damaged", moment(at)),
            (Some(at), _) => format!("{}, whole", moment(at)),
        };
        let size = it.facts.size.map(|size| ByteCount(size.bytes).to_string());
        table.row([
            it.facts.name.clone(),
            size.unwrap_or_else(|| "unknown".to_owned()),
            it.points.to_string(),
            checked,
            it.place.clone(),
        ]);
    }
    table.lines()
}
