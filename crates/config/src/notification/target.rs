//! Ways to people.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::{PASSWORD, SIGNING_KEY, SecretSource, URL, VALUE, ValueSource};
use crate::section::Section;

/// A way to tell somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetEntry {
    /// Which way.
    pub kind: TargetKind,
    /// How long an answer may take: for mail each, for the others all of it.
    pub time_limit: Duration,
}

/// Which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// Mail.
    Smtp(SmtpEntry),
    /// A request with the notice as JSON.
    Webhook(WebhookEntry),
    /// A request that says that a run began, ended well or failed, as healthchecks has it.
    Ping(PingEntry),
    /// A program that gets the notice on its standard input: the program and its words.
    Command(Vec<String>),
}

/// A mail server and those who get mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpEntry {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept secret.
    pub encryption: SmtpEncryption,
    /// Trusted beside the certificates of this computer, PEM.
    pub ca_file: Option<PathBuf>,
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

/// A place that takes notices as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEntry {
    /// Where to.
    pub url: ValueSource,
    /// Further headers.
    pub headers: BTreeMap<String, ValueSource>,
    /// Signs what is sent.
    pub signing_key: Option<SecretSource>,
    /// Trusted beside the certificates of this computer, PEM.
    pub ca_file: Option<PathBuf>,
}

/// A place that waits for signs of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PingEntry {
    /// Where to.
    pub url: ValueSource,
    /// By which request.
    pub method: PingMethod,
    /// Whether the beginnings of runs are told, too.
    pub tells_start: bool,
    /// How a failure is told.
    pub failure: PingFailure,
    /// Trusted beside the certificates of this computer, PEM.
    pub ca_file: Option<PathBuf>,
}

/// By which request a ping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingMethod {
    /// With a text.
    Post,
    /// Without.
    Get,
    /// Without, and without an answer but its status.
    Head,
}

/// How a ping tells of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingFailure {
    /// By `/fail`.
    Fail,
    /// By the exit code of the run.
    ExitCode,
    /// Not at all.
    None,
}

const KINDS: &[&str] = &["smtp", "webhook", "ping", "command"];
const ENCRYPTIONS: &[&str] = &["starttls", "tls", "none"];
const METHODS: &[&str] = &["post", "get", "head"];
const FAILURES: &[&str] = &["fail", "exit_code", "none"];
/// What a limit may be, in seconds.
const LIMIT_SECONDS: std::ops::RangeInclusive<u64> = 1..=600;

impl TargetEntry {
    pub(super) fn read(section: Section<'_>) -> Option<Self> {
        let readers: [fn(&Section<'_>) -> Option<TargetKind>; 4] = [smtp, webhook, ping, command];
        let Some(reader) = section.word_needed("kind", KINDS, &readers) else {
            // Without its kind nobody knows which settings are wrong.
            return None;
        };
        let kind = reader(&section);
        let time_limit = section.span_or("time_limit", "30s");
        if !LIMIT_SECONDS.contains(&time_limit.as_secs()) {
            let next = "write 1s to 10m, as in time_limit = \"30s\"";
            section.refuse_with("time_limit", "nobody can work with that", next);
        }
        section.finish();
        let kind = kind?;
        Some(Self { kind, time_limit })
    }
}

fn ca_file(section: &Section<'_>) -> Option<PathBuf> {
    section.text("ca_file").map(PathBuf::from)
}

fn smtp(section: &Section<'_>) -> Option<TargetKind> {
    let server = section.needed("server", "server = \"mail.example.org:587\"");
    let server = server.and_then(|text| {
        let server = server_of(&text);
        if server.is_none() {
            let next = "write a name and a port, as in mail.example.org:587";
            section.refuse_with("server", "it has no port", next);
        }
        server
    });
    let encryptions = {
        use SmtpEncryption::{None, StartTls, Tls};
        [StartTls, Tls, None]
    };
    let encryption = section.word_or_first("tls", ENCRYPTIONS, &encryptions);
    let ca_file = ca_file(section);
    let from = section.needed("from", "from = \"lifeboat@example.org\"");
    check_addresses(section, "from", from.as_slice());
    let to = section.texts("to");
    if to.is_empty() {
        section.refuse_with("to", "nobody gets it", "write to = [\"ops@example.org\"]");
    }
    check_addresses(section, "to", &to);
    let user = section.text("user");
    let password = PASSWORD.read(section);
    let is_open = encryption == Some(SmtpEncryption::None);
    let is_near = |(host, _): &(String, u16)| {
        matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1" | "[::1]")
    };
    if is_open && password.is_some() && !server.as_ref().is_some_and(is_near) {
        let why = "the password would cross the network for everybody to read";
        section.refuse_with("tls", why, "write tls = \"starttls\"");
    }
    if is_open && ca_file.is_some() {
        let why = "nothing is asked for its certificate";
        section.warn("ca_file", why, "write tls = \"starttls\", or leave it out");
    }
    if user.is_none() && password.is_some() {
        section.refuse_with("user", "a password needs a user", "write user = \"...\"");
    }
    let (host, port) = server?;
    Some(TargetKind::Smtp(SmtpEntry {
        host,
        port,
        encryption: encryption?,
        ca_file,
        from: from?,
        to,
        user,
        password,
    }))
}

fn server_of(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn check_addresses(section: &Section<'_>, key: &'static str, all: &[String]) {
    for text in all.iter().filter(|text| !is_address(text)) {
        let shown: String = text.escape_debug().take(80).collect();
        let why = format!("\"{shown}\" is no address of mail");
        let next = "write ops@example.org, or Operators <ops@example.org>";
        section.refuse_with(key, &why, next);
    }
}

/// Whether it looks like `ada@example.org` or `Ada <ada@example.org>`.
fn is_address(text: &str) -> bool {
    let bare = match text.rsplit_once('<') {
        Some((_, rest)) => rest.strip_suffix('>'),
        None => Some(text),
    };
    let parts = bare.and_then(|bare| bare.rsplit_once('@'));
    let is_strange = |letter: char| letter.is_whitespace() || letter.is_control();
    let is_good = |part: &str| !part.is_empty() && !part.contains(is_strange);
    parts.is_some_and(|(who, place)| is_good(who) && is_good(place))
        && !text.contains(char::is_control)
}

fn webhook(section: &Section<'_>) -> Option<TargetKind> {
    let url = url(section);
    let mut headers = BTreeMap::new();
    for (name, header) in section.tables("headers") {
        if let Some(value) = VALUE.read_value(&header) {
            headers.insert(name, value);
        }
        header.finish();
    }
    let signing_key = SIGNING_KEY.read(section);
    let ca_file = ca_file(section);
    Some(TargetKind::Webhook(WebhookEntry {
        url: url?,
        headers,
        signing_key,
        ca_file,
    }))
}

fn ping(section: &Section<'_>) -> Option<TargetKind> {
    let url = url(section);
    let methods = [PingMethod::Post, PingMethod::Get, PingMethod::Head];
    let method = section.word_or_first("method", METHODS, &methods);
    let failures = {
        use PingFailure::{ExitCode, Fail, None};
        [Fail, ExitCode, None]
    };
    let failure = section.word_or_first("failure", FAILURES, &failures);
    let tells_start = section.flag("start", true);
    let ca_file = ca_file(section);
    Some(TargetKind::Ping(PingEntry {
        url: url?,
        method: method?,
        tells_start,
        failure: failure?,
        ca_file,
    }))
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

fn command(section: &Section<'_>) -> Option<TargetKind> {
    let run = section.texts("run");
    if run.first().is_none_or(String::is_empty) {
        let next = "write run = [\"/path/program\", \"word\"]";
        section.refuse_with("run", "there is no program", next);
        return None;
    }
    Some(TargetKind::Command(run))
}
