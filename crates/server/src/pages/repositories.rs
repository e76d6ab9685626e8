//! Repositories: how full, how dense, whether whole.

use jiff::Timestamp;
use lifeboat_catalog::{RepositorySize, Role, Task};
use lifeboat_scheduler::{RepositoryStatus, Request};
use maud::{Markup, html};

use super::chart::area;
use super::frame::{Frame, Place};
use super::icon::icon;
use super::overview::{check_state, failed_with, fill_of, setback_of};
use super::parts::{Action, Look, badge, card, empty, head, moment_or, twin};
use super::task::cards;
use super::words::{bytes, count, thousands};

/// One repository.
#[derive(Clone, Debug)]
pub struct RepositoryView<'a> {
    /// How it is.
    pub repository: &'a RepositoryStatus,
    /// How it grew, oldest first.
    pub sizes: &'a [RepositorySize],
    /// Its newest tasks: checks, prunes.
    pub tasks: &'a [Task],
    /// Why it could not be worked with, if its newest attempt of anything failed.
    pub setback: Option<&'a Task>,
}

/// What restores would write, for each byte that is stored.
pub(crate) fn ratio(size: &RepositorySize) -> Option<f64> {
    (size.bytes > 0).then(|| size.bytes_restored as f64 / size.bytes as f64)
}

/// All repositories; `setbacks` are the newest failures of those that could not be worked with.
pub fn list(frame: &Frame, repositories: &[RepositoryStatus], setbacks: &[Task]) -> Markup {
    let inner = html! {
        (head("Repositories", html! {
            "Ordinary restic repositories: restic and rustic read them too" },
            html! {}))
        div #repositories .grid data-live="" {
            @for repository in repositories {
                (tile(frame, repository, setback_of(setbacks, repository)))
            }
        }
        @if repositories.is_empty() {
            section.card { (empty("repositories", "No repository is configured",
                "A repository is where recovery points are kept: a folder, SFTP or S3.",
                html! { (twin(&["init", "-r", "/srv/backup"])) })) }
        }
    };
    frame.page(Place::Repositories, "Repositories", inner)
}

fn tile(frame: &Frame, repository: &RepositoryStatus, setback: Option<&Task>) -> Markup {
    let size = repository.facts.size;
    html! {
        section.card {
            (fill_of(frame, repository, setback))
            p.place-line { code { (repository.place) } }
            dl.facts.narrow {
                dt { "Points" } dd { (thousands(repository.points)) }
                dt { "Deduplication" }
                dd { (size.as_ref().and_then(ratio).map_or("–".to_owned(),
                    |it| format!("{it:.1} ×"))) }
                dt { "Next check" } dd { (moment_or(frame, repository.next_check, "not planned")) }
                dt { "Next prune" } dd { (moment_or(frame, repository.next_prune, "not planned")) }
            }
        }
    }
}

/// One repository.
pub fn page(frame: &Frame, view: &RepositoryView<'_>) -> Markup {
    let repository = view.repository;
    let name = repository.facts.name.as_str();
    let place = format!("@{name}");
    let inner = html! {
        (head(name, html! { code { (repository.place) } }, actions(frame, name)))
        div #repository-running data-live="" {
            @if let Some(task) = view.setback {
                div.card.live-task role="alert" { (failed_with(frame, task)) }
            }
            (cards(frame, view.tasks))
        }
        (figures(frame, repository))
        (growth(frame, view.sizes))
        div.columns {
            div.column.wide { (findings(frame, repository)) }
            div.column {
                section.card aria-labelledby="twins-title" {
                    header.card-head { h2 #twins-title { "On the command line" } }
                    dl.twins {
                        dt { "Check" } dd { (twin(&["-r", &place, "check"])) }
                        dt { "Show what a prune would do" }
                        dd { (twin(&["-r", &place, "prune", "--dry-run"])) }
                        dt { "Prune" } dd { (twin(&["-r", &place, "prune"])) }
                        dt { "List its snapshots" } dd { (twin(&["-r", &place, "snapshots"])) }
                    }
                }
            }
        }
    };
    frame.page(Place::Repositories, name, inner)
}

fn actions(frame: &Frame, name: &str) -> Markup {
    let repository = || name.to_owned();
    let check = Request::Check {
        repository: repository(),
    };
    let prune = Request::Prune {
        repository: repository(),
    };
    let prune = Action {
        question: Some("Remove the data that no snapshot needs any more?"),
        typed: Some(name),
        ..Action::run(&prune, "prune", "Prune")
    };
    html! {
        (Action::run(&check, "verify", "Check now").form(frame, Role::Operator))
        (prune.form(frame, Role::Operator))
    }
}

fn figures(frame: &Frame, repository: &RepositoryStatus) -> Markup {
    let size = repository.facts.size;
    let value = |pick: fn(&RepositorySize) -> String| size.as_ref().map_or("–".to_owned(), pick);
    let dense = |it: &RepositorySize| ratio(it).map_or("–".to_owned(), |it| format!("{it:.1} ×"));
    html! {
        section #figures .card.summary data-live="" aria-label="Figures" {
            div { span.quiet { "Stored" } strong { (value(|it| bytes(it.bytes))) } }
            div { span.quiet { "Restores to" } strong { (value(|it| bytes(it.bytes_restored))) } }
            div { span.quiet { "Deduplication" } strong {
                (value(dense)) } }
            div { span.quiet { "Compression" } strong {
                (value(|it| match it.bytes {
                    0 => "–".to_owned(),
                    stored => format!("{:.2} ×", it.bytes_unpacked as f64 / stored as f64),
                })) } }
            div { span.quiet { "Points" } strong { (thousands(repository.points)) } }
            div { span.quiet { "Blobs" } strong { (value(|it| thousands(it.blobs))) } }
            div { span.quiet { "Next check" } strong {
                (moment_or(frame, repository.next_check, "not planned")) } }
            div { span.quiet { "Next prune" } strong {
                (moment_or(frame, repository.next_prune, "not planned")) } }
        }
    }
}

fn growth(frame: &Frame, sizes: &[RepositorySize]) -> Markup {
    let (Some(first), Some(last)) = (sizes.first(), sizes.last()) else {
        return card(
            "growth",
            "Growth",
            None,
            empty(
                "repositories",
                "Not looked at yet",
                "Sizes are written down after each run and each prune.",
                html! {},
            ),
        );
    };
    let max = sizes
        .iter()
        .map(|it| it.bytes.max(it.bytes_unpacked))
        .max()
        .unwrap_or(1)
        .max(1);
    let whole = (last.at.as_second() - first.at.as_second()).max(1) as f64;
    let x = |at: Timestamp| (at.as_second() - first.at.as_second()) as f64 / whole;
    let curve = |pick: fn(&RepositorySize) -> u64| {
        sizes
            .iter()
            .map(|it| (x(it.at), pick(it) as f64 / max as f64))
            .collect::<Vec<_>>()
    };
    let lines = [
        ("unpacked", curve(|it| it.bytes_unpacked)),
        ("stored", curve(|it| it.bytes)),
    ];
    let ends = (
        frame.moment.format(first.at, "%-d %b %Y"),
        frame.moment.format(last.at, "%-d %b %Y"),
    );
    card(
        "growth",
        "Growth",
        None,
        html! {
            (area(&lines, (&ends.0, &ends.1), &bytes(max), &format!("From {} to {} bytes",
                bytes(first.bytes), bytes(last.bytes))))
            p.legend {
                span { span.dot.stored {} "stored" }
                span { span.dot.unpacked {} "before compression" }
                span.end { (change(first, last)) }
            }
        },
    )
}

fn change(first: &RepositorySize, last: &RepositorySize) -> String {
    match last.bytes >= first.bytes {
        true => format!("{} more since then", bytes(last.bytes - first.bytes)),
        false => format!("{} less since then", bytes(first.bytes - last.bytes)),
    }
}

fn findings(frame: &Frame, repository: &RepositoryStatus) -> Markup {
    let facts = &repository.facts;
    card(
        "findings",
        "Last check",
        None,
        html! {
            p.line.padded { (check_state(frame, repository)) }
            @match facts.is_ok {
                Some(true) => p.calm { (icon("ok"))
                    "Every pack, index and snapshot was as it should be." },
                None => p.calm { (icon("unknown"))
                    "A check reads what is stored and compares it with its names." },
                Some(false) => {
                    p.padded { (count(facts.findings.len() as u64, "finding")) }
                    ul.rows {
                        @for finding in facts.findings.iter().take(100) {
                            li.row { (badge(Look::Failed, "Finding")) " " span.break-all {
                                (finding) } }
                        }
                    }
                    p.padded { "Keep the repository as it is, run a check that reads all data, and \
                        then repair." }
                }
            }
            p.padded.small.quiet { "Last pruned: " (moment_or(frame, facts.pruned, "never")) }
        },
    )
}
