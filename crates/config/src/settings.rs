//! Every setting there is, with what it means: the source of the schema.

use crate::section::Kind::{
    self, Any, Flag, List, Number, NumberOrText, Schedule, Size, Span, Table, Tables, Text, Texts,
    Word, Words,
};

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its path: `*` stands for a name, `[]` for a place in a list.
    pub path: &'static str,
    /// What may be written.
    pub kind: Kind,
    /// Whether its table needs it.
    pub is_needed: bool,
    /// What it means.
    pub about: &'static str,
}

/// Every setting there is, sorted by table. What else a job says is in [`read`](crate::read)'s
/// other type.
pub fn settings() -> impl Iterator<Item = Setting> {
    let all = NEEDED.iter().map(|it| (true, it));
    let all = all.chain(OPTIONAL.iter().map(|it| (false, it)));
    all.map(|(is_needed, (path, kind, about))| Setting {
        path,
        kind: *kind,
        is_needed,
        about,
    })
}

type Row = (&'static str, Kind, &'static str);

const NEEDED: &[Row] = &[
    (
        "repositories.*.place",
        Text,
        "Its place, as --repo takes it: a folder.",
    ),
    (
        "platforms.*.uri",
        Text,
        "Its address, as --platform takes it: qemu:///system.",
    ),
    ("jobs.*.platform", Text, "The platform's name."),
    ("jobs.*.repository", Text, "The repository's name."),
    ("notifications.targets.*.from", Text, "Mail: the sender."),
    (
        "notifications.targets.*.kind",
        Word(&["smtp", "webhook", "ping", "command"]),
        "Mail, a request with JSON, a request as healthchecks has it, or a program.",
    ),
    (
        "notifications.targets.*.server",
        Text,
        "Mail: name or address of the server, and a port.",
    ),
    ("carried_over.*.from", Text, "A file and a path in it."),
];

const OPTIONAL: &[Row] = &[
    ("site", Text, "The name of this site."),
    (
        "include",
        Texts,
        "Further files, beside this one: names, or patterns with one *. Tables of all files \
         are one.",
    ),
    ("sites", Tables, "Places with people of their own."),
    ("sites.*.note", Text, "What people should know of it."),
    ("sites.*.title", Text, "What reports call it."),
    ("repositories", Tables, "Where backups go."),
    (
        "repositories.*.carried_over",
        Text,
        "Where it came from, and why it is not carried out.",
    ),
    ("repositories.*.check", Schedule, "When it is checked."),
    (
        "repositories.*.check_data",
        Text,
        "What a check reads of the stored data: all, a share as in 5%, or the next of so \
         many parts as in 1/30. The structure alone unless given.",
    ),
    (
        "repositories.*.compression",
        Text,
        "How what is stored is compressed: off, auto, fastest, better, max, or 1 to 19.",
    ),
    (
        "repositories.*.pack_size",
        Size,
        "A pack is closed at this size: 4M to 128M.",
    ),
    (
        "repositories.*.threads",
        Number(1, 1024),
        "Threads that compute for it; all processors unless given.",
    ),
    (
        "repositories.*.parallel",
        Number(1, 64),
        "Tasks that work on it at the same time.",
    ),
    (
        "repositories.*.password_command",
        Texts,
        "This program, with its words, writes the password; no shell looks at them.",
    ),
    (
        "repositories.*.password_credential",
        Text,
        "The credential of this name, from systemd, holds the password.",
    ),
    (
        "repositories.*.password_env",
        Text,
        "This variable of the environment holds the password.",
    ),
    (
        "repositories.*.password_file",
        Text,
        "The first line of this file is the password.",
    ),
    (
        "repositories.*.prune",
        Schedule,
        "When data that no snapshot needs is removed.",
    ),
    (
        "repositories.*.site",
        Text,
        "Its site; that of the file unless given.",
    ),
    (
        "repositories.*.size_max",
        Size,
        "A warning is told when it outgrows this.",
    ),
    (
        "repositories.*.zone",
        Text,
        "The zone of its times, as in Europe/Berlin; that of the computer unless given.",
    ),
    ("platforms", Tables, "Where machines run."),
    (
        "platforms.*.carried_over",
        Text,
        "Where it came from, and why it is not carried out.",
    ),
    (
        "platforms.*.site",
        Text,
        "Its site; that of the file unless given.",
    ),
    (
        "platforms.*.unprotected_ok",
        Texts,
        "Names and patterns of machines that need no protection.",
    ),
    ("policies", Tables, "When, how, and for how long."),
    (
        "policies.*.blackouts",
        Texts,
        "When nothing begins: weekdays 08:00-18:00.",
    ),
    (
        "policies.*.carried_over",
        Text,
        "Where it came from, and why it is not carried out.",
    ),
    (
        "policies.*.catch_up",
        Flag,
        "A run that was missed begins as soon as it can. Usual: true.",
    ),
    (
        "policies.*.copies",
        Number(1, 16),
        "Promise: so many repositories hold it.",
    ),
    (
        "policies.*.forget_at_most",
        Text,
        "A run that would forget more of a machine's points asks first: a share as in 50%, \
         or a number in quotes. Usual: 50%.",
    ),
    (
        "policies.*.full_after",
        Number(1, 10000),
        "Everything is read after so many increments.",
    ),
    (
        "policies.*.full_days",
        Number(1, 3650),
        "Everything is read after so many days.",
    ),
    (
        "policies.*.full_on",
        Text,
        "Everything is read on these days of the week: sun, or mon, thu, or seven bits.",
    ),
    (
        "policies.*.incremental",
        Flag,
        "Runs read only what has changed. Usual: true.",
    ),
    (
        "policies.*.jitter",
        Span,
        "Runs begin later by up to this, each job by its own share.",
    ),
    (
        "policies.*.keep_daily",
        NumberOrText,
        "The newest point of a day stays, for so many of them, or \"unlimited\".",
    ),
    (
        "policies.*.keep_hourly",
        NumberOrText,
        "The newest point of an hour stays, for so many of them, or \"unlimited\".",
    ),
    (
        "policies.*.keep_last",
        NumberOrText,
        "So many newest points stay, or \"unlimited\".",
    ),
    (
        "policies.*.keep_monthly",
        NumberOrText,
        "The newest point of a month stays, for so many of them, or \"unlimited\".",
    ),
    (
        "policies.*.keep_tags",
        Texts,
        "Points with these tags stay; with a comma between them, with all of them.",
    ),
    (
        "policies.*.keep_weekly",
        NumberOrText,
        "The newest point of a week stays, for so many of them, or \"unlimited\".",
    ),
    (
        "policies.*.keep_within",
        Text,
        "Every point of this time before the newest stays, as in 2d or 1y6m.",
    ),
    (
        "policies.*.keep_within_daily",
        Text,
        "The newest point of a day stays, for this time before the newest.",
    ),
    (
        "policies.*.keep_within_hourly",
        Text,
        "The newest point of an hour stays, for this time before the newest.",
    ),
    (
        "policies.*.keep_within_monthly",
        Text,
        "The newest point of a month stays, for this time before the newest.",
    ),
    (
        "policies.*.keep_within_weekly",
        Text,
        "The newest point of a week stays, for this time before the newest.",
    ),
    (
        "policies.*.keep_within_yearly",
        Text,
        "The newest point of a year stays, for this time before the newest.",
    ),
    (
        "policies.*.keep_yearly",
        NumberOrText,
        "The newest point of a year stays, for so many of them, or \"unlimited\".",
    ),
    (
        "policies.*.max_age",
        Span,
        "Nothing older stays, except pins and the newest verified point.",
    ),
    (
        "policies.*.min_points",
        Number(1, 1000),
        "So many points of a machine stay, whatever the rules say. Usual: 1.",
    ),
    (
        "policies.*.proof",
        Span,
        "Promise: a verified restore is never older.",
    ),
    (
        "policies.*.retry_after",
        Span,
        "The wait before the first of them; it doubles each time. Usual: 5m.",
    ),
    (
        "policies.*.retry_times",
        Number(0, 20),
        "How often a failed task is tried again. Usual: 3.",
    ),
    (
        "policies.*.rpo",
        Span,
        "Promise: the newest recovery point is never older.",
    ),
    (
        "policies.*.rto",
        Span,
        "Promise: a recovery takes no longer.",
    ),
    (
        "policies.*.schedule",
        Schedule,
        "When runs begin; by hand unless given.",
    ),
    (
        "policies.*.verify",
        Schedule,
        "When the newest recovery point is read back.",
    ),
    (
        "policies.*.zone",
        Text,
        "The zone of all times, as in Europe/Berlin; that of the computer unless given.",
    ),
    ("jobs", Tables, "What is backed up."),
    (
        "jobs.*.after",
        Texts,
        "Names of jobs that must have ended well.",
    ),
    (
        "jobs.*.carried_over",
        Text,
        "Where it came from, and why it is not carried out.",
    ),
    (
        "jobs.*.copies_to",
        Texts,
        "Names of repositories that get a copy of every point.",
    ),
    (
        "jobs.*.enabled",
        Flag,
        "Whether it is run by its schedule. Usual: true.",
    ),
    ("jobs.*.policy", Text, "The policy's name."),
    (
        "server",
        Table,
        "Where people and programs reach lifeboat serve.",
    ),
    (
        "server.listen",
        Text,
        "Address and port. Usual: 127.0.0.1:8443.",
    ),
    (
        "server.login_attempts",
        Number(1, 1000),
        "So many failures within the window, then log-ins wait. Usual: 10.",
    ),
    (
        "server.login_window",
        Span,
        "Of how long a time failures count. Usual: 15m.",
    ),
    (
        "server.metrics_open",
        Flag,
        "Metrics are read without a token. Usual: false.",
    ),
    (
        "server.plain_http",
        Flag,
        "No TLS; only on this computer. Usual: false.",
    ),
    (
        "server.public_names",
        Texts,
        "Names that the own certificate is for, beside localhost and the host's.",
    ),
    (
        "server.session",
        Span,
        "A log-in counts for so long. Usual: 12h.",
    ),
    (
        "server.state",
        Text,
        "The folder of its state; /var/lib/lifeboat for root unless given.",
    ),
    (
        "server.tls_certificate_file",
        Text,
        "A certificate chain, PEM; an own one is made unless given.",
    ),
    ("server.tls_key_file", Text, "Its key, PEM."),
    (
        "catalog",
        Table,
        "Where runs and recovery points are remembered.",
    ),
    (
        "catalog.lease",
        Span,
        "A node that is silent for so long loses its tasks to others, and a clock that is wrong \
         by a quarter of it begins nothing. Usual: 60s.",
    ),
    (
        "catalog.node",
        Text,
        "The name of this node; that of the host unless given.",
    ),
    (
        "catalog.password_command",
        Texts,
        "This program, with its words, writes the password; no shell looks at them.",
    ),
    (
        "catalog.password_credential",
        Text,
        "The credential of this name, from systemd, holds the password.",
    ),
    (
        "catalog.password_env",
        Text,
        "This variable of the environment holds the password.",
    ),
    (
        "catalog.password_file",
        Text,
        "The first line of this file is the password.",
    ),
    (
        "catalog.url",
        Text,
        "sqlite:/path or postgresql://user@host/name, without a password; a file in the \
         state folder unless given.",
    ),
    ("limits", Table, "What all jobs together may use."),
    (
        "limits.parallel",
        Number(1, 1000),
        "Tasks at the same time. Usual: 8.",
    ),
    ("notifications", Table, "Who is told what."),
    (
        "notifications.dashboard",
        Text,
        "Where people reach the dashboard, as in https://backup.example.org:8443; links in \
         notices begin so.",
    ),
    ("notifications.escalations", Tables, "Who is asked in turn."),
    (
        "notifications.escalations.*.levels",
        List,
        "From the first to the last.",
    ),
    (
        "notifications.escalations.*.levels[].respond_within",
        Span,
        "When nobody has acknowledged by then, the next level is told. Usual: 15m.",
    ),
    (
        "notifications.escalations.*.levels[].to",
        Texts,
        "Names of targets.",
    ),
    (
        "notifications.routes",
        List,
        "Which notice goes where; every route that fits is used.",
    ),
    (
        "notifications.routes[].digest",
        Schedule,
        "At these moments everything since the last one in one notice.",
    ),
    (
        "notifications.routes[].escalation",
        Text,
        "The name of an escalation.",
    ),
    (
        "notifications.routes[].group_wait",
        Span,
        "So long notices are gathered into one. Usual: 30s.",
    ),
    (
        "notifications.routes[].jobs",
        Texts,
        "Of such jobs; all unless given.",
    ),
    (
        "notifications.routes[].machines",
        Texts,
        "Of such machines; all unless given.",
    ),
    (
        "notifications.routes[].name",
        Text,
        "One of its kind: what was told by it is remembered under it. Usual: its number.",
    ),
    (
        "notifications.routes[].per_hour",
        Number(1, 10000),
        "Notices in an hour; what is more waits. Usual: 60.",
    ),
    (
        "notifications.routes[].per_run",
        Word(&["never", "failure", "warning", "always"]),
        "Of which runs every one is told. Usual: never.",
    ),
    (
        "notifications.routes[].repeat_every",
        Span,
        "A condition that holds on is told again after this; 0 for never. Usual: 4h.",
    ),
    (
        "notifications.routes[].repositories",
        Texts,
        "Of such repositories; all unless given.",
    ),
    (
        "notifications.routes[].resolved",
        Flag,
        "Whether people are told that a condition is over. Usual: true.",
    ),
    (
        "notifications.routes[].severity",
        Words(&["info", "warning", "critical"]),
        "Of these severities; all unless given.",
    ),
    (
        "notifications.routes[].sites",
        Texts,
        "Of sites with these names or patterns; all unless given.",
    ),
    ("notifications.routes[].to", Texts, "Names of targets."),
    (
        "notifications.routes[].zone",
        Text,
        "The zone of these moments; that of the computer unless given.",
    ),
    ("notifications.targets", Tables, "Ways to tell somebody."),
    (
        "notifications.targets.*.ca_file",
        Text,
        "Mail, webhook and ping: certificates that are trusted beside those of the computer, PEM.",
    ),
    (
        "notifications.targets.*.failure",
        Word(&["fail", "exit_code", "none"]),
        "Ping: how a failure is told: by /fail, by the exit code as in /1, or not. Usual: fail.",
    ),
    (
        "notifications.targets.*.headers",
        Tables,
        "Webhook: further headers.",
    ),
    (
        "notifications.targets.*.headers.*.value",
        Text,
        "The value, if everybody may know it.",
    ),
    (
        "notifications.targets.*.headers.*.value_command",
        Texts,
        "This program, with its words, writes the value; no shell looks at them.",
    ),
    (
        "notifications.targets.*.headers.*.value_credential",
        Text,
        "The credential of this name, from systemd, holds the value.",
    ),
    (
        "notifications.targets.*.headers.*.value_env",
        Text,
        "This variable of the environment holds the value.",
    ),
    (
        "notifications.targets.*.headers.*.value_file",
        Text,
        "The first line of this file is the value.",
    ),
    (
        "notifications.targets.*.method",
        Word(&["post", "get", "head"]),
        "Ping: by which request; post sends a text along. Usual: post.",
    ),
    (
        "notifications.targets.*.password_command",
        Texts,
        "This program, with its words, writes the password; no shell looks at them.",
    ),
    (
        "notifications.targets.*.password_credential",
        Text,
        "The credential of this name, from systemd, holds the password.",
    ),
    (
        "notifications.targets.*.password_env",
        Text,
        "This variable of the environment holds the password.",
    ),
    (
        "notifications.targets.*.password_file",
        Text,
        "The first line of this file is the password.",
    ),
    (
        "notifications.targets.*.run",
        Texts,
        "Command: the program and its words; it reads the notice as JSON.",
    ),
    (
        "notifications.targets.*.signing_key_command",
        Texts,
        "This program, with its words, writes the signing key; no shell looks at them.",
    ),
    (
        "notifications.targets.*.signing_key_credential",
        Text,
        "The credential of this name, from systemd, holds the signing key.",
    ),
    (
        "notifications.targets.*.signing_key_env",
        Text,
        "This variable of the environment holds the signing key.",
    ),
    (
        "notifications.targets.*.signing_key_file",
        Text,
        "Webhook: the first line of this file is the key that signs what is sent.",
    ),
    (
        "notifications.targets.*.start",
        Flag,
        "Ping: whether the beginning of a run is told by /start. Usual: true.",
    ),
    (
        "notifications.targets.*.time_limit",
        Span,
        "How long an answer may take, 1s to 10m. Usual: 30s.",
    ),
    (
        "notifications.targets.*.tls",
        Word(&["starttls", "tls", "none"]),
        "Mail: how the connection is kept secret. Usual: starttls.",
    ),
    (
        "notifications.targets.*.to",
        Texts,
        "Mail: those who get it.",
    ),
    (
        "notifications.targets.*.url",
        Text,
        "Webhook and ping: where to, if everybody may know it.",
    ),
    (
        "notifications.targets.*.url_command",
        Texts,
        "This program, with its words, writes the address; no shell looks at them.",
    ),
    (
        "notifications.targets.*.url_credential",
        Text,
        "The credential of this name, from systemd, holds the address.",
    ),
    (
        "notifications.targets.*.url_env",
        Text,
        "This variable of the environment holds the address.",
    ),
    (
        "notifications.targets.*.url_file",
        Text,
        "The first line of this file is the address.",
    ),
    (
        "notifications.targets.*.user",
        Text,
        "Mail: the name at the server.",
    ),
    (
        "carried_over",
        Tables,
        "What came from another program and has no meaning here yet.",
    ),
    ("carried_over.*.note", Text, "Why it is not carried out."),
    ("carried_over.*.settings", Any, "The settings as they were."),
];
