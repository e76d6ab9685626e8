//! The report as one page that needs nothing else, for browsers and paper.

use lifeboat_model::ByteCount;

use super::gather::{Counts, Day, MachinePart, Report};
use super::markup::Markup;
use super::text;
use crate::tables::moment;

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta name=\"viewport\" content=\"width=device-width\">\n\
<meta http-equiv=\"Content-Security-Policy\" \
content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";

const STYLE: &str = "\
:root { --ink: #1d2733; --soft: #5c6b7a; --line: #d5dce3; --paper: #ffffff; --shade: #f4f6f8;\n\
  --well: #1f7a4d; --bad: #b3261e; color-scheme: light dark; }\n\
@media (prefers-color-scheme: dark) { :root { --ink: #e4eaf0; --soft: #9aa9b8; --line: #36424e;\n\
  --paper: #12181e; --shade: #1b232b; --well: #58c98d; --bad: #ff8a80; } }\n\
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --shade: #fff;\n\
  --well: #1f7a4d; --bad: #b3261e; } body { font-size: 9.5pt; max-width: none; padding: 0; } }\n\
@page { margin: 15mm; }\n\
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);\n\
  max-width: 68rem; margin: 0 auto; padding: 2rem 1.25rem; }\n\
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }\n\
p { margin: .2rem 0; } .soft { color: var(--soft); }\n\
.figures { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.25rem 0; }\n\
.figure { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .9rem;\n\
  background: var(--shade); flex: 1 1 14rem; break-inside: avoid; }\n\
.figure b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums; }\n\
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }\n\
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line);\n\
  vertical-align: top; font-variant-numeric: tabular-nums; }\n\
th { color: var(--soft); font-weight: 600; font-size: .85em; } tr { break-inside: avoid; }\n\
.number { text-align: right; } .bad { color: var(--bad); font-weight: 600; }\n\
.well { color: var(--well); } .days { white-space: nowrap; letter-spacing: -.5px; }\n\
.days i { display: inline-block; width: .62rem; height: .95rem; margin-right: 1px;\n\
  font: 700 .6rem/.95rem system-ui; text-align: center; border-radius: 2px;\n\
  background: var(--line); color: transparent; print-color-adjust: exact; }\n\
.days i.point { background: var(--well); } .days i.failed { background: var(--bad);\n\
  color: var(--paper); }\n\
.list td:first-child { width: 2rem; font-size: 1.1rem; }\n\
.sign { display: flex; gap: 3rem; margin-top: 3rem; break-inside: avoid; }\n\
.sign span { border-top: 1px solid var(--ink); flex: 1; padding-top: .3rem; }\n";

/// The page.
pub(super) fn page(report: &Report) -> String {
    let mut page = Markup::new();
    let title = text::title(report);
    page.raw(HEAD).element("title", &title);
    page.raw("\n<style>\n")
        .raw(STYLE)
        .raw("</style>\n</head>\n<body>\n");
    page.element("h1", &title);
    let made = format!(
        "Written {} by lifeboat {}",
        moment(report.made),
        env!("CARGO_PKG_VERSION")
    );
    page.styled("p", "soft", &made);
    figures(&mut page, report);
    for site in &report.sites {
        let name = match site.name.as_str() {
            "" => "Machines".to_owned(),
            name => format!("Machines of {name}"),
        };
        page.element("h2", &name);
        page.styled("p", "soft", &text::rates(&site.backups));
        machines(&mut page, &site.machines);
    }
    repositories(&mut page, report);
    failures(&mut page, report);
    alerts(&mut page, report);
    checklist(&mut page, report);
    page.raw("</body>\n</html>\n");
    page.finish()
}

fn figures(page: &mut Markup, report: &Report) {
    let figure = |page: &mut Markup, name: &str, counts: &Counts| {
        let rate = counts.rate().map(|rate| (rate * 10.0).floor() / 10.0);
        let rate = rate.map_or_else(|| "none".to_owned(), |rate| format!("{rate:.1} %"));
        page.raw("<div class=\"figure\">").text(name);
        page.element("b", &rate);
        page.styled("span", "soft", &text::rates(counts))
            .raw("</div>\n");
    };
    page.raw("<div class=\"figures\">\n");
    figure(page, "Runs that succeeded", &report.runs);
    figure(page, "Backups that succeeded", &report.backups);
    let all = report.checklist.iter().filter(|it| it.is_proved.is_some());
    let proved = all.clone().filter(|it| it.is_proved == Some(true)).count();
    let all = all.count();
    page.raw("<div class=\"figure\">")
        .text("Points of the checklist that were proved");
    page.element("b", &format!("{proved} of {all}"));
    page.styled("span", "soft", "the others are at the end")
        .raw("</div>\n</div>\n");
}

fn heads(page: &mut Markup, heads: &[&'static str]) {
    page.raw("<div class=\"wide\"><table>\n<thead><tr>");
    for head in heads {
        match head.strip_prefix('>') {
            Some(head) => page.styled("th", "number", head),
            None => page.element("th", head),
        };
    }
    page.raw("</tr></thead>\n<tbody>\n");
}

fn end(page: &mut Markup) {
    page.raw("</tbody></table></div>\n");
}

/// Missed promises stand out, and say so in a word.
fn promise(page: &mut Markup, measured: Option<u64>, promised: Option<u64>) {
    let is_missed = promised.is_some_and(|most| measured.is_some_and(|it| it > most));
    let told = text::against(measured, promised);
    match is_missed {
        true => page.styled("td", "bad", &format!("{told}, missed")),
        false => page.element("td", &told),
    };
}

fn machines(page: &mut Markup, machines: &[MachinePart]) {
    heads(
        page,
        &[
            "Machine",
            "Days",
            ">Points",
            ">Failed",
            "Usual gap",
            "Worst gap",
            "Recovery",
            "Read back",
            ">Stored",
        ],
    );
    for machine in machines {
        page.raw("<tr>").element("td", &machine.distinct_name);
        days(page, &machine.days);
        page.styled("td", "number", &machine.points.to_string());
        let class = if machine.backups.failed > 0 {
            "number bad"
        } else {
            "number"
        };
        page.styled("td", class, &machine.backups.failed.to_string());
        page.element("td", &text::seconds(machine.gap_usual));
        promise(page, machine.gap_worst, machine.rpo_promised);
        promise(page, machine.recovery_worst, machine.rto_promised);
        let class = if machine.damaged > 0 { "bad" } else { "" };
        page.styled("td", class, &text::verified(machine));
        page.styled("td", "number", &ByteCount(machine.bytes_stored).to_string());
        page.raw("</tr>\n");
    }
    end(page);
}

fn days(page: &mut Markup, days: &[Day]) {
    page.raw("<td class=\"days\">");
    for day in days {
        page.raw(match day {
            Day::Point => "<i class=\"point\" title=\"a point\">+</i>",
            Day::Failed => "<i class=\"failed\" title=\"failed\">!</i>",
            Day::Nothing => "<i title=\"nothing\">.</i>",
        });
    }
    page.raw("</td>");
}

fn repositories(page: &mut Markup, report: &Report) {
    page.element("h2", "Repositories");
    heads(
        page,
        &[
            "Repository",
            ">Size",
            ">Growth",
            ">Points",
            "Checked",
            "Place",
        ],
    );
    for it in &report.repositories {
        let size = it.bytes_after.map(|bytes| ByteCount(bytes).to_string());
        page.raw("<tr>").element("td", &it.name);
        page.styled("td", "number", size.as_deref().unwrap_or("unknown"));
        page.styled("td", "number", &text::growth(it));
        page.styled("td", "number", &it.points.to_string());
        let class = if it.is_ok == Some(false) { "bad" } else { "" };
        page.styled("td", class, &text::checked(it));
        page.styled("td", "soft", &it.place).raw("</tr>\n");
    }
    end(page);
}

fn failures(page: &mut Markup, report: &Report) {
    page.element("h2", "Failures by kind");
    if report.failures.is_empty() {
        page.styled("p", "soft", "none");
        return;
    }
    heads(page, &["Task and kind", ">Times"]);
    for (kind, count) in &report.failures {
        page.raw("<tr>").element("td", kind);
        page.styled("td", "number", &count.to_string())
            .raw("</tr>\n");
    }
    end(page);
}

fn alerts(page: &mut Markup, report: &Report) {
    page.element("h2", "Alerts");
    if report.alerts.is_empty() {
        page.styled("p", "soft", "none");
        return;
    }
    heads(
        page,
        &["Since", "How bad", "What", "Held in this month", "Seen by"],
    );
    for alert in &report.alerts {
        let still = if alert.cleared.is_some() {
            ""
        } else {
            ", still open"
        };
        page.raw("<tr>").element("td", &moment(alert.since));
        page.element("td", text::severity(alert.severity));
        page.element("td", &alert.text);
        page.element(
            "td",
            &format!("{}{still}", text::seconds(Some(alert.seconds))),
        );
        page.element("td", alert.acknowledged_by.as_deref().unwrap_or("-"));
        page.raw("</tr>\n");
    }
    end(page);
}

fn checklist(page: &mut Markup, report: &Report) {
    page.element("h2", "Checklist");
    page.raw("<table class=\"list\"><tbody>\n");
    for item in &report.checklist {
        page.raw(match item.is_proved {
            Some(true) => "<tr><td class=\"well\">\u{2611}</td>",
            Some(false) => "<tr><td class=\"bad\">\u{2612}</td>",
            None => "<tr><td>\u{2610}</td>",
        });
        page.raw("<td>").text(item.point).raw(" ");
        let seen = match item.is_proved {
            Some(true) => format!("Proved: {}.", item.seen),
            Some(false) => format!("Not proved: {}.", item.seen),
            None if item.seen.is_empty() => "To be looked at.".to_owned(),
            None => format!("{}.", item.seen),
        };
        page.styled("span", "soft", &seen).raw("</td></tr>\n");
    }
    page.raw("</tbody></table>\n<div class=\"sign\"><span>Name</span><span>Signature</span>");
    page.raw("<span>Date</span></div>\n");
}
