//! Pages without much behind them: sign in, what went wrong, keys, results of a search.

use lifeboat_scheduler::Overview;
use maud::{Markup, html};

use super::frame::{Frame, Place, document};
use super::icon::{icon, sprite};
use super::machines::state;
use super::overview::job_state;
use super::parts::{empty, head};
use super::words::{escape, machine_page, name_of, path};
use crate::accounts::PASSWORD_MIN;

/// Results of a kind.
const RESULTS: usize = 8;

/// Sign in; `refusal` says why the last try failed.
pub fn login(site: Option<&str>, refusal: Option<&str>) -> Markup {
    let body = html! {
        (sprite())
        main #page .login {
            div.login-brand { (icon("buoy")) span { "lifeboat" } }
            @if let Some(site) = site { p.quiet { (site) } }
            form.card method="post" action="/login" {
                h1 { "Sign in" }
                @if let Some(refusal) = refusal {
                    p.banner.failed role="alert" { (icon("failed")) span { (refusal) } }
                }
                label for="name" { "User" }
                input #name type="text" name="name" autocomplete="username" autocapitalize="none"
                    required autofocus maxlength="200";
                label for="password" { "Password" }
                input #password type="password" name="password" autocomplete="current-password"
                    required maxlength="1000";
                button.button.primary type="submit" { "Sign in" }
            }
            p.small.quiet { "Users are made with " code { "lifeboat user add" } " on the server." }
        }
    };
    document("Sign in", "bare", None, body)
}

/// The first user is made with the key that the server wrote into its log.
pub fn setup(key: &str, refusal: Option<&str>) -> Markup {
    let body = html! {
        (sprite())
        main #page .login {
            div.login-brand { (icon("buoy")) span { "lifeboat" } }
            form.card method="post" action="/setup" {
                h1 { "The first user" }
                p.quiet { "Becomes administrator. The key stands in the log of the server." }
                @if let Some(refusal) = refusal {
                    p.banner.failed role="alert" { (icon("failed")) span { (refusal) } }
                }
                label for="key" { "Key" }
                input #key type="text" name="key" value=(key) autocomplete="off" required
                    maxlength="200";
                label for="name" { "User" }
                input #name type="text" name="name" autocomplete="username" autocapitalize="none"
                    required maxlength="64";
                label for="password" { "Password" }
                input #password type="password" name="password" autocomplete="new-password"
                    required minlength=(PASSWORD_MIN) maxlength="1000"
                    aria-describedby="password-rule";
                p.small.quiet #password-rule { "At least " (PASSWORD_MIN) " letters." }
                button.button.primary type="submit" { "Make the user" }
            }
        }
    };
    document("The first user", "bare", None, body)
}

/// What went wrong, for somebody who may not be signed in.
pub fn failure(status: u16, title: &str, text: &str) -> Markup {
    let body = html! {
        (sprite())
        main #page .login {
            div.login-brand { (icon("buoy")) span { "lifeboat" } }
            div.card {
                p.quiet { (status) }
                h1 { (title) }
                p { (text) }
                a.button href="/" { "To the first page" }
            }
        }
    };
    document(title, "bare", None, body)
}

/// The same for somebody who is signed in: the frame stays.
pub(crate) fn failure_inside(frame: &Frame, title: &str, text: &str) -> Markup {
    let inner = html! {
        (head(title, html! {}, html! {}))
        section.card { (empty("failed", title, text,
            html! { a.button href="/" { "To the first page" } })) }
    };
    frame.page(Place::Help, title, inner)
}

/// What keys do.
const KEYS: [(&str, &str); 11] = [
    ("/", "Search"),
    ("?", "This page"),
    ("g o", "Overview"),
    ("g m", "Machines"),
    ("g r", "Runs"),
    ("g e", "Repositories"),
    ("g s", "Schedule"),
    ("g a", "Alerts"),
    ("g u", "Audit"),
    ("g t", "Settings"),
    ("Esc", "Close what is open"),
];

/// The page of keys and words.
pub fn help(frame: &Frame) -> Markup {
    let words = [
        (
            "Recovery point",
            "A moment one can return to: a snapshot of a machine in a repository.",
        ),
        (
            "Run, task",
            "A run is one execution of a job; a task is its part for one machine.",
        ),
        (
            "Find machines",
            "The task of a run that asks the platform which machines a job means now.",
        ),
        (
            "Read contents",
            "The task that lists what a repository holds, and how large it is, for these pages.",
        ),
        (
            "Browse",
            "Looks into the disks of a point without restoring them; files can be taken out.",
        ),
        (
            "RPO",
            "How old the newest point may be. What is shown was measured, not configured.",
        ),
        (
            "RTO",
            "How long a recovery may take, measured by the last restore or drill.",
        ),
        (
            "Proof",
            "A point was read back and compared, restored, or started in isolation.",
        ),
        (
            "Unprotected",
            "No job means the machine, and nobody wrote that it needs none.",
        ),
        (
            "Overdue",
            "A run should have begun and did not. Silence is not success.",
        ),
    ];
    let inner = html! {
        (head("Keys and help", html! { "Everything here can be done on the command line too" },
            html! {}))
        div.pair {
            section.card { header.card-head { h2 { "Keys" } }
                dl.keys { @for (key, word) in KEYS {
                    dt { @for part in key.split(' ') { kbd { (part) } } } dd { (word) }
                } }
            }
            section.card { header.card-head { h2 { "Words" } }
                dl.words { @for (word, meaning) in words { dt { (word) } dd { (meaning) } } }
            }
        }
    };
    frame.page(Place::Help, "Keys and help", inner)
}

/// What a search found.
pub fn search(frame: &Frame, overview: &Overview, text: &str) -> Markup {
    let wanted = text.trim().to_lowercase();
    let fits = |name: &str| !wanted.is_empty() && name.to_lowercase().contains(&wanted);
    let machines: Vec<_> = overview
        .machines
        .iter()
        .filter(|it| fits(&it.name))
        .take(RESULTS)
        .collect();
    let jobs: Vec<_> = overview
        .jobs
        .iter()
        .filter(|it| fits(&it.name))
        .take(RESULTS)
        .collect();
    let repositories: Vec<_> = overview
        .repositories
        .iter()
        .filter(|it| fits(&it.facts.name))
        .take(RESULTS)
        .collect();
    let run = wanted.trim_start_matches("run ").parse::<i64>().ok();
    let found = machines.len() + jobs.len() + repositories.len() + usize::from(run.is_some());
    let results = html! {
        ul.results {
            @for machine in machines {
                li { a href=(machine_page(name_of(machine), "", "")) {
                    (icon("machines")) strong { (machine.name) } span.quiet { (machine.platform) }
                    span.end { (state(machine)) } } }
            }
            @for job in jobs {
                li { a href={ "/runs?job=" (escape(&job.name)) } {
                    (icon("schedule")) strong { (job.name) } span.quiet { "job" }
                    span.end { (job_state(frame, job)) } } }
            }
            @for repository in repositories {
                li { a href=(path(&["repositories", &repository.facts.name])) {
                    (icon("repositories")) strong { (repository.facts.name) }
                    span.quiet { "repository" } } }
            }
            @if let Some(run) = run {
                li { a href={ "/runs/" (run) } { (icon("runs")) strong { "Run " (run) } } }
            }
        }
        @if found == 0 {
            (empty("search", "Nothing found", "Names of machines, jobs and repositories, and \
                numbers of runs are searched.", html! {}))
        }
    };
    if frame.is_fragment {
        return results;
    }
    let inner = html! {
        (head("Search", html! { "For \u{201c}" (text) "\u{201d}" }, html! {}))
        section.card { (results) }
    };
    frame.page(Place::Overview, "Search", inner)
}
