//! The report as text, for terminals and mail.

use lifeboat_model::ByteCount;

use super::gather::{Counts, Day, MachinePart, Report, RepositoryPart};
use crate::tables::{Table, moment, shown};

/// Lines without ends.
pub(super) fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![title(report), String::new()];
    lines.push(format!("Runs     {}", rates(&report.runs)));
    lines.push(format!("Backups  {}", rates(&report.backups)));
    for site in &report.sites {
        let name = match site.name.as_str() {
            "" => "Machines".to_owned(),
            name => format!("Machines of {}", shown(name)),
        };
        part(&mut lines, &name, machines(&site.machines).lines());
        for machine in &site.machines {
            let name = shown(&machine.distinct_name);
            lines.push(format!("  {}  {name}", strip(&machine.days)));
        }
    }
    part(
        &mut lines,
        "Repositories",
        repositories(&report.repositories).lines(),
    );
    let failures = report.failures.iter();
    let failures = failures.map(|(kind, count)| format!("{count:5}  {}", shown(kind)));
    part(&mut lines, "Failures", failures.collect());
    part(&mut lines, "Alerts", alerts(report));
    part(&mut lines, "Checklist", checklist(report));
    lines
}

/// What stands above everything.
pub(super) fn title(report: &Report) -> String {
    let site = report
        .site
        .as_deref()
        .map(|it| format!(" of {}", shown(it)));
    let (month, site) = (&report.month, site.unwrap_or_default());
    match report.is_over {
        true => format!("Backups{site} in {month}"),
        false => format!("Backups{site} in {month}, until {}", moment(report.to)),
    }
}

/// `97.5 % of 120: 117 succeeded, 1 in part, 2 failed`
pub(super) fn rates(counts: &Counts) -> String {
    let all = counts.succeeded + counts.partial + counts.failed;
    let Some(rate) = counts.rate() else {
        return "none".to_owned();
    };
    // What is nearly all is not all.
    let rate = (rate * 10.0).floor() / 10.0;
    let mut text = format!("{rate:.1} % of {all}: {} succeeded", counts.succeeded);
    let others = [
        (counts.partial, "in part"),
        (counts.failed, "failed"),
        (counts.cancelled, "cancelled"),
    ];
    for (number, word) in others {
        if number > 0 {
            text += &format!(", {number} {word}");
        }
    }
    text
}

/// A letter for each day: `+` gave a point, `!` failed, `.` nothing.
pub(super) fn strip(days: &[Day]) -> String {
    let letter = |day: &Day| match day {
        Day::Point => '+',
        Day::Failed => '!',
        Day::Nothing => '.',
    };
    days.iter().map(letter).collect()
}

/// Seconds as people say it.
pub(super) fn seconds(seconds: Option<u64>) -> String {
    let Some(seconds) = seconds else {
        return "-".to_owned();
    };
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes:02} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// What was measured, and what was promised.
pub(super) fn against(measured: Option<u64>, promised: Option<u64>) -> String {
    match promised {
        None => seconds(measured),
        Some(_) => format!("{} of {}", seconds(measured), seconds(promised)),
    }
}

/// How a machine's read-back points were.
pub(super) fn verified(machine: &MachinePart) -> String {
    match (machine.verified, machine.damaged) {
        (0, _) => "none".to_owned(),
        (all, 0) => format!("{all}, whole"),
        (all, damaged) => format!("{all}, {damaged} damaged"),
    }
}

/// By how much a repository grew.
pub(super) fn growth(repository: &RepositoryPart) -> String {
    match (repository.bytes_before, repository.bytes_after) {
        (Some(before), Some(after)) if after >= before => format!("+{}", ByteCount(after - before)),
        (Some(before), Some(after)) => format!("-{}", ByteCount(before - after)),
        _ => "unknown".to_owned(),
    }
}

/// When it was last checked, and how it was.
pub(super) fn checked(repository: &RepositoryPart) -> String {
    match (repository.checked, repository.is_ok) {
        (None, _) => "never".to_owned(),
        (Some(at), Some(false)) => format!("{}, damaged", moment(at)),
        (Some(at), _) => format!("{}, whole", moment(at)),
    }
}

fn part(lines: &mut Vec<String>, title: &str, more: Vec<String>) {
    lines.extend([String::new(), title.to_owned()]);
    match more.is_empty() {
        true => lines.push("  none".to_owned()),
        false => lines.extend(more.into_iter().map(|line| format!("  {line}"))),
    }
}

fn machines(machines: &[MachinePart]) -> Table {
    let heads = [
        "Machine",
        ">Points",
        ">Failed",
        "Usual gap",
        "Worst gap",
        "Recovery",
        "Read back",
        ">Stored",
    ];
    let mut table = Table::new(&heads);
    for machine in machines {
        table.row([
            machine.distinct_name.clone(),
            machine.points.to_string(),
            machine.backups.failed.to_string(),
            seconds(machine.gap_usual),
            against(machine.gap_worst, machine.rpo_promised),
            against(machine.recovery_worst, machine.rto_promised),
            verified(machine),
            ByteCount(machine.bytes_stored).to_string(),
        ]);
    }
    table
}

fn repositories(repositories: &[RepositoryPart]) -> Table {
    let mut table = Table::new(&["Repository", ">Size", ">Growth", ">Points", "Checked"]);
    for it in repositories {
        let size = it.bytes_after.map(|bytes| ByteCount(bytes).to_string());
        table.row([
            it.name.clone(),
            size.unwrap_or_else(|| "unknown".to_owned()),
            growth(it),
            it.points.to_string(),
            checked(it),
        ]);
    }
    table
}

fn alerts(report: &Report) -> Vec<String> {
    let one = |alert: &super::gather::AlertPart| {
        let held = seconds(Some(alert.seconds));
        let end = if alert.cleared.is_some() {
            ""
        } else {
            ", still open"
        };
        let (since, text) = (moment(alert.since), shown(&alert.text));
        format!(
            "{since}  {}: {text} ({held}{end})",
            severity(alert.severity)
        )
    };
    report.alerts.iter().map(one).collect()
}

/// A word for how bad it is.
pub(super) fn severity(severity: lifeboat_catalog::AlertSeverity) -> &'static str {
    use lifeboat_catalog::AlertSeverity;
    match severity {
        AlertSeverity::Critical => "critical",
        AlertSeverity::Warning => "warning",
        AlertSeverity::Info => "info",
    }
}

fn checklist(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for item in &report.checklist {
        let mark = match item.is_proved {
            Some(true) => "[x]",
            Some(false) => "[-]",
            None => "[ ]",
        };
        lines.push(format!("{mark} {}", item.point));
        if !item.seen.is_empty() {
            lines.push(format!("      {}", shown(&item.seen)));
        }
    }
    lines.extend([
        String::new(),
        "Looked at by ______________________  on ____________".into(),
    ]);
    lines
}
