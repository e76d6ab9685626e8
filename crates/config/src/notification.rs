//! Who is told what, and by which way.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use lifeboat_policy::{Schedule, parse_zone};

use crate::job::{Names, is_known, known};
use crate::secret::{PASSWORD, SecretSource, URL, VALUE, ValueSource};
use crate::section::Section;

/// Everything about notices.
#[derive(Clone, Debug, Default)]
pub struct Notifications {
    /// Ways, by name.
    pub targets: BTreeMap<String, TargetEntry>,
    /// Which notice goes where; every route that fits is used.
    pub routes: Vec<RouteEntry>,
    /// Who is asked next when nobody answers.
    pub escalations: BTreeMap<String, EscalationEntry>,
}

/// A way to tell somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetEntry {
    /// Mail.
    Smtp(SmtpEntry),
    /// A request with the notice as JSON.
    Webhook {
        /// Where to.
        url: ValueSource,
        /// Further headers.
        headers: BTreeMap<String, ValueSource>,
    },
    /// A request that says that a run began, ended well or failed, as healthchecks has it.
    Ping {
        /// Where to.
        url: ValueSource,
    },
    /// A program that gets the notice on its standard input.
    Command {
        /// The program and its words.
        run: Vec<String>,
    },
}

/// A mail server and those who get mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpEntry {
    /// Name or address, and a port.
    pub server: String,
    /// How the connection is kept secret.
    pub encryption: SmtpEncryption,
    /// The sender.
    pub from: String,
    /// Those who get it.
    pub to: Vec<String>,
    /// The name at the server, if it wants one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<SecretSource>,
}

/// How a connection to a mail server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpEncryption {
    /// It begins plain and must become TLS.
    StartTls,
    /// TLS from the beginning.
    Tls,
    /// Not at all.
    None,
}

/// How bad a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeSeverity {
    /// Good to know.
    Info,
    /// Look at it in working hours.
    Warning,
    /// Look at it now.
    Critical,
}

/// Of which runs every one is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerRun {
    /// Of none: only conditions are told.
    Never,
    /// Of those that failed.
    Failure,
    /// Of every run.
    Always,
}

/// Which notices go where.
#[derive(Clone, Debug)]
pub struct RouteEntry {
    /// Of these severities; none stands for all.
    pub severities: Vec<NoticeSeverity>,
    /// Of sites with these names or patterns; none stands for all.
    pub sites: Vec<String>,
    /// Of such jobs.
    pub jobs: Vec<String>,
    /// Of such machines.
    pub machines: Vec<String>,
    /// Names of targets.
    pub to: Vec<String>,
    /// The name of an escalation.
    pub escalation: Option<String>,
    /// Of which runs every one is told.
    pub per_run: PerRun,
    /// Everything since the last one in one notice, at these moments.
    pub digest: Option<Schedule>,
    /// The zone of these moments.
    pub zone: TimeZone,
    /// So long notices are gathered into one.
    pub group_wait: Duration,
    /// A condition that holds on is told again after this.
    pub repeat_every: Duration,
    /// Notices in an hour; what is more waits for the next.
    pub per_hour: u32,
}

/// Who is asked in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscalationEntry {
    /// From the first to the last.
    pub levels: Vec<LevelEntry>,
}

/// Some people and how long they have to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelEntry {
    /// Names of targets.
    pub to: Vec<String>,
    /// When nobody has acknowledged by then, the next level is told.
    pub respond_within: Duration,
}

impl Notifications {
    pub(crate) fn read(section: Section<'_>, names: &Names) -> Self {
        let mut all = Self::default();
        for (name, section) in section.tables("targets") {
            if let Some(entry) = TargetEntry::read(section) {
                all.targets.insert(name, entry);
            }
        }
        for section in section.list("routes") {
            all.routes.push(RouteEntry::read(section, names));
        }
        for (name, section) in section.tables("escalations") {
            let entry = EscalationEntry::read(section, names);
            all.escalations.insert(name, entry);
        }
        section.finish();
        all
    }
}

const KINDS: &[&str] = &["smtp", "webhook", "ping", "command"];

impl TargetEntry {
    fn read(section: Section<'_>) -> Option<Self> {
        let readers: [fn(&Section<'_>) -> Option<Self>; 4] = [smtp, webhook, ping, command];
        let Some(reader) = section.word_needed("kind", KINDS, &readers) else {
            // Without its kind nobody knows which settings are wrong.
            return None;
        };
        let entry = reader(&section);
        section.finish();
        entry
    }
}

fn smtp(section: &Section<'_>) -> Option<TargetEntry> {
    let server = section.needed("server", "server = \"mail.example.org:587\"");
    let server = server.filter(|text| {
        let is_server = is_server(text);
        if !is_server {
            let next = "write a name and a port, as in mail.example.org:587";
            section.refuse_with("server", "it has no port", next);
        }
        is_server
    });
    let (words, values) = (&["starttls", "tls", "none"], {
        use SmtpEncryption::{None, StartTls, Tls};
        [StartTls, Tls, None]
    });
    let encryption = section.word_or_first("tls", words, &values);
    let from = section.needed("from", "from = \"lifeboat@example.org\"");
    let to = section.texts("to");
    if to.is_empty() {
        section.refuse_with("to", "nobody gets it", "write to = [\"ops@example.org\"]");
    }
    let user = section.text("user");
    let password = PASSWORD.read(section);
    if encryption == Some(SmtpEncryption::None) && password.is_some() {
        let why = "the password crosses the network for everybody to read";
        section.warn("tls", why, "write tls = \"starttls\"");
    }
    if user.is_none() && password.is_some() {
        section.refuse_with("user", "a password needs a user", "write user = \"...\"");
    }
    Some(TargetEntry::Smtp(SmtpEntry {
        server: server?,
        encryption: encryption?,
        from: from?,
        to,
        user,
        password,
    }))
}

fn is_server(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok_and(|it| it > 0))
}

fn webhook(section: &Section<'_>) -> Option<TargetEntry> {
    let url = url(section);
    let mut headers = BTreeMap::new();
    for (name, header) in section.tables("headers") {
        if let Some(value) = VALUE.read_value(&header) {
            headers.insert(name, value);
        }
        header.finish();
    }
    Some(TargetEntry::Webhook { url: url?, headers })
}

fn ping(section: &Section<'_>) -> Option<TargetEntry> {
    Some(TargetEntry::Ping { url: url(section)? })
}

fn url(section: &Section<'_>) -> Option<ValueSource> {
    let url = URL.read_value(section)?;
    if let ValueSource::Plain(text) = &url
        && !(text.starts_with("https://") || text.starts_with("http://"))
    {
        let next = "write https://... or http://...";
        section.refuse_with("url", "it is no address of the web", next);
        return None;
    }
    Some(url)
}

fn command(section: &Section<'_>) -> Option<TargetEntry> {
    let run = section.texts("run");
    if run.first().is_none_or(String::is_empty) {
        let next = "write run = [\"/path/program\", \"word\"]";
        section.refuse_with("run", "there is no program", next);
        return None;
    }
    Some(TargetEntry::Command { run })
}

const SEVERITIES: &[&str] = &["info", "warning", "critical"];
const PER_RUN: &[&str] = &["never", "failure", "always"];

impl RouteEntry {
    fn read(section: Section<'_>, names: &Names) -> Self {
        let severities = {
            use NoticeSeverity::{Critical, Info, Warning};
            section.words("severity", SEVERITIES, &[Info, Warning, Critical])
        };
        let escalation = section.text("escalation");
        let escalation =
            escalation.filter(|name| is_known(&section, "escalation", name, &names.escalations));
        let per_run = [PerRun::Never, PerRun::Failure, PerRun::Always];
        let per_run = section.word_or_first("per_run", PER_RUN, &per_run);
        let zone = section.parsed_by("zone", parse_zone);
        let entry = Self {
            severities,
            sites: section.texts("sites"),
            jobs: section.texts("jobs"),
            machines: section.texts("machines"),
            to: known(&section, "to", "target", &names.targets),
            escalation,
            per_run: per_run.unwrap_or(PerRun::Never),
            digest: section.schedule("digest"),
            zone: zone.unwrap_or_else(TimeZone::system),
            group_wait: section.span_or("group_wait", "30s"),
            repeat_every: section.span_or("repeat_every", "4h"),
            per_hour: section.number_or("per_hour", (1, 10_000), 60),
        };
        if !section.holds("to") && !section.holds("escalation") {
            section.refuse_with("to", "it leads nowhere", "write to = [\"TARGET\"]");
        }
        section.finish();
        entry
    }
}

impl EscalationEntry {
    fn read(section: Section<'_>, names: &Names) -> Self {
        let mut levels = Vec::new();
        for level in section.list("levels") {
            let to = known(&level, "to", "target", &names.targets);
            if !level.holds("to") {
                level.refuse_with("to", "nobody is told", "write to = [\"TARGET\"]");
            }
            let respond_within = level.span_or("respond_within", "15m");
            level.finish();
            levels.push(LevelEntry { to, respond_within });
        }
        if levels.is_empty() && !section.holds("levels") {
            let path = section.path("levels");
            let next = format!("write [[{path}]]");
            section.refuse_with("levels", "there is no level", &next);
        }
        section.finish();
        Self { levels }
    }
}
