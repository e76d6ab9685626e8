//! A notice as a small HTML page: own colours, nothing loaded, every text escaped.

use std::fmt::Write;

use super::text::{
    MANY, facts, footer, heading, is_detailed, line, of_run, of_test, remedies, rests, times,
};
use super::{Content, Digest, Item, Notice, Run};
use crate::{Remedy, Severity};

const BODY: &str = "margin:0;padding:24px;background:#f6f7f9;color:#1c2430;\
                    font:15px/1.5 system-ui,sans-serif";
const CARD: &str = "max-width:640px;margin:0 auto 12px;padding:12px 16px;background:#fff;\
                    border-radius:6px;border-left:4px solid";
const QUIET: &str = "color:#667085;font-size:13px";
const LOG: &str = "margin:8px 0;padding:8px;background:#f6f7f9;white-space:pre-wrap;\
                   word-break:break-word;font-size:13px";
const COMMAND: &str = "padding:2px 6px;background:#eef1f5;border-radius:4px;font-size:13px;\
                       word-break:break-word";

pub(super) fn page(notice: &Notice) -> String {
    let title = escaped(&notice.title());
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title></head><body style=\"{BODY}\">\n"
    );
    match &notice.content {
        Content::Conditions {
            items,
            more,
            missed,
        } => {
            for item in items {
                put_item(&mut page, item, is_detailed(items));
            }
            for rest in rests(*more, *missed) {
                card(&mut page, colour(Severity::Info), &rest, |_| ());
            }
            if !is_detailed(items) && !notice.is_resolved() {
                card(
                    &mut page,
                    colour(Severity::Info),
                    "What to do about each",
                    |page| {
                        let _ = write!(page, "<code style=\"{COMMAND}\">{MANY}</code>");
                    },
                );
            }
        }
        Content::RunBegan(run) | Content::RunEnded(run) => put_run(&mut page, run),
        Content::Digest(digest) => put_digest(&mut page, digest),
        Content::Test => {
            card(&mut page, colour(Severity::Info), &of_test(notice), |_| ());
        }
    }
    let _ = write!(
        page,
        "<div style=\"max-width:640px;margin:0 auto;{QUIET}\">{}",
        escaped(&footer(notice))
    );
    put_link(&mut page, notice.link.as_deref());
    page.push_str("</div></body></html>\n");
    page
}

/// Text between and in tags: nothing of it is markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "#3b6fd4",
        Severity::Warning => "#c77700",
        Severity::Critical => "#c62828",
    }
}

/// A heading with what belongs to it.
fn card(page: &mut String, colour: &str, heading: &str, inner: impl FnOnce(&mut String)) {
    let _ = write!(
        page,
        "<div style=\"{CARD} {colour}\"><div><strong>{}</strong></div>",
        escaped(heading)
    );
    inner(page);
    page.push_str("</div>\n");
}

fn put_small(page: &mut String, text: &str) {
    let _ = write!(page, "<div style=\"{QUIET}\">{}</div>", escaped(text));
}

fn put_log(page: &mut String, log: &str) {
    if log.is_empty() {
        return;
    }
    let start = |row: &str| if row.starts_with(' ') { "  " } else { "" };
    let rows = log
        .lines()
        .map(|row| format!("{}{}", start(row), escaped(&line(row))));
    let rows: Vec<String> = rows.collect();
    let _ = write!(page, "<pre style=\"{LOG}\">{}</pre>", rows.join("\n"));
}

fn put_remedies(page: &mut String, remedies: &[Remedy]) {
    if remedies.is_empty() {
        return;
    }
    page.push_str("<div style=\"margin-top:8px\">What to do</div>");
    for remedy in remedies {
        let _ = write!(
            page,
            "<div style=\"margin-top:4px;{QUIET}\">{}</div><code style=\"{COMMAND}\">{}</code>",
            escaped(&line(&remedy.text)),
            escaped(&line(&remedy.command))
        );
    }
}

fn put_link(page: &mut String, link: Option<&str>) {
    // Other schemes could run something in a mail program.
    let web = link.filter(|link| link.starts_with("https://") || link.starts_with("http://"));
    if let Some(link) = web {
        let link = escaped(&line(link));
        let _ = write!(page, "<div><a href=\"{link}\">{link}</a></div>");
    }
}

fn put_item(page: &mut String, item: &Item, is_detailed: bool) {
    let condition = &item.condition;
    let colour = match condition.cleared {
        Some(_) => "#2e7d32",
        None => colour(condition.severity),
    };
    card(page, colour, &heading(item), |page| {
        if is_detailed {
            facts(item).iter().for_each(|fact| put_small(page, fact));
            put_log(page, &condition.details);
            put_remedies(page, remedies(item));
            put_link(page, condition.link.as_deref());
        }
    });
}

fn put_run(page: &mut String, run: &Run) {
    card(page, colour(run.severity()), &line(&of_run(run)), |page| {
        put_small(page, &times(run));
        put_log(page, &run.text);
        put_remedies(page, &run.remedies);
        put_link(page, run.link.as_deref());
    });
}

fn put_digest(page: &mut String, digest: &Digest) {
    let colour = colour(digest.severity);
    card(page, colour, &line(&digest.summary), |page| {
        for section in &digest.sections {
            let title = escaped(&line(&section.title));
            let _ = write!(page, "<h3>{title}</h3><table>");
            for (name, value) in &section.rows {
                let _ = write!(
                    page,
                    "<tr><td style=\"padding-right:24px\">{}</td><td>{}</td></tr>",
                    escaped(&line(name)),
                    escaped(&line(value))
                );
            }
            page.push_str("</table>");
        }
        put_link(page, digest.link.as_deref());
    });
}
