//! A notice as a small HTML page: own colours, nothing loaded, every text escaped.

use std::fmt::Write;

use super::text::{details, footer, headline, line, outcome, rests, times, word};
use super::{Content, Digest, Item, Notice, Run};
use crate::Severity;

const BODY: &str = "margin:0;padding:24px;background:#f6f7f9;color:#1c2430;\
                    font:15px/1.5 system-ui,sans-serif";
const CARD: &str = "max-width:640px;margin:0 auto 12px;padding:12px 16px;background:#fff;\
                    border-radius:6px;border-left:4px solid";
const QUIET: &str = "color:#667085;font-size:13px";

pub(super) fn page(notice: &Notice) -> String {
    let title = escaped(&notice.title());
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>{title}</title></head><body style=\"{BODY}\">\n"
    );
    match &notice.content {
        Content::Conditions {
            items,
            more,
            missed,
        } => {
            items.iter().for_each(|item| of_item(&mut page, item));
            for rest in rests(*more, *missed) {
                card(&mut page, colour(Severity::Info), &rest, "", None);
            }
        }
        Content::RunBegan(run) | Content::RunEnded(run) => of_run(&mut page, run),
        Content::Digest(digest) => of_digest(&mut page, digest),
        Content::Test => {
            let text = "This is a test. Notices arrive here.";
            card(&mut page, colour(Severity::Info), text, "", None);
        }
    }
    let _ = writeln!(
        page,
        "<p style=\"max-width:640px;margin:0 auto;{QUIET}\">{}</p></body></html>",
        escaped(&footer(notice))
    );
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

/// A heading, the small print below it, and where to read more.
fn card(page: &mut String, colour: &str, heading: &str, small: &str, link: Option<&str>) {
    let _ = write!(
        page,
        "<div style=\"{CARD} {colour}\"><div>{}</div><div style=\"{QUIET}\">{}</div>",
        escaped(heading),
        escaped(small)
    );
    // Other schemes could run something in a mail program.
    let web = link.filter(|link| link.starts_with("https://") || link.starts_with("http://"));
    if let Some(link) = web {
        let link = escaped(&line(link));
        let _ = write!(page, "<div><a href=\"{link}\">{link}</a></div>");
    }
    page.push_str("</div>\n");
}

fn of_item(page: &mut String, item: &Item) {
    let condition = &item.condition;
    let colour = match condition.cleared {
        Some(_) => "#2e7d32",
        None => colour(condition.severity),
    };
    let heading = format!("{}: {}", word(item), headline(item));
    card(
        page,
        colour,
        &heading,
        &details(item),
        condition.link.as_deref(),
    );
}

fn of_run(page: &mut String, run: &Run) {
    let heading = format!("run of {} {}", line(&run.job), outcome(run));
    let colour = colour(run.severity());
    card(page, colour, &heading, &times(run), run.link.as_deref());
    if !run.text.is_empty() {
        let text = escaped(&run.text);
        let _ = writeln!(
            page,
            "<pre style=\"max-width:640px;margin:0 auto 12px;white-space:pre-wrap\">{text}</pre>"
        );
    }
}

fn of_digest(page: &mut String, digest: &Digest) {
    let link = digest.link.as_deref();
    card(
        page,
        colour(digest.severity),
        &line(&digest.summary),
        "",
        link,
    );
    for section in &digest.sections {
        let _ = write!(
            page,
            "<div style=\"max-width:640px;margin:0 auto 12px\"><h3>{}</h3><table>",
            escaped(&line(&section.title))
        );
        for (name, value) in &section.rows {
            let _ = write!(
                page,
                "<tr><td style=\"padding-right:24px\">{}</td><td>{}</td></tr>",
                escaped(&line(name)),
                escaped(&line(value))
            );
        }
        page.push_str("</table></div>\n");
    }
}
