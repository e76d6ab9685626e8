//! The program that stays: where it listens, where it remembers, what it may use.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::{PASSWORD, SecretSource};
use crate::section::Section;

/// Where people and programs reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEntry {
    /// The address and the port.
    pub listen: SocketAddr,
    /// Certificate and key; without, it makes its own.
    pub certificate: Option<CertificateFiles>,
    /// No TLS; only on this computer.
    pub is_plain_http: bool,
    /// Names that its own certificate is for, beside localhost and the host's.
    pub public_names: Vec<String>,
    /// Whether metrics are read without a token.
    pub is_metrics_open: bool,
    /// The folder of its state, if it is not the usual one.
    pub state: Option<PathBuf>,
    /// How often somebody may fail to log in.
    pub login: LoginLimits,
}

/// A certificate that somebody else made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

/// How often somebody may fail to log in, and for how long a log-in counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginLimits {
    /// Failures of one name or one address within the window.
    pub attempts: u32,
    /// Of how long a time failures count.
    pub window: Duration,
    /// A session ends after this, whatever is done with it.
    pub session: Duration,
}

/// Where the catalog is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogEntry {
    /// The database; nothing for the usual file in the state folder.
    pub place: Option<CatalogPlace>,
    /// The password of the database.
    pub password: Option<SecretSource>,
    /// The name of this node, if it is not the host's.
    pub node: Option<String>,
    /// How long a node may be silent before others take its tasks over.
    pub lease: Duration,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogPlace {
    /// A file.
    Sqlite(PathBuf),
    /// A server, as PostgreSQL writes it; without a password.
    Postgres(String),
}

/// What all jobs together may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsEntry {
    /// Tasks at the same time.
    pub parallel: u32,
}

/// How long a node may be silent, and within which bounds.
const LEASE: &str = "60s";
const LEASE_MIN: Duration = Duration::from_secs(3);
const LEASE_MAX: Duration = Duration::from_secs(3600);

/// Within which bounds failures count and sessions last.
const WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);
const SESSION_MIN: Duration = Duration::from_secs(60);
const SESSION_MAX: Duration = Duration::from_secs(400 * 24 * 3600);

const LISTEN: &str = "127.0.0.1:8443";

impl ServerEntry {
    pub(crate) fn read(section: Section<'_>) -> Self {
        let listen = section.parsed_or("listen", address, LISTEN);
        let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8443)));
        let is_plain_http = section.flag("plain_http", false);
        if is_plain_http && !listen.ip().is_loopback() {
            let why = "passwords would cross the network for everybody to read";
            let next = "leave it out, or listen = \"127.0.0.1:8443\"";
            section.refuse_with("plain_http", why, next);
        }
        let entry = Self {
            listen,
            certificate: certificate(&section),
            is_plain_http,
            public_names: section.texts("public_names"),
            is_metrics_open: section.flag("metrics_open", false),
            state: section.text("state").map(PathBuf::from),
            login: LoginLimits {
                attempts: section.number_or("login_attempts", (1, 1000), 10),
                window: section.span_or("login_window", "15m"),
                session: section.span_or("session", "12h"),
            },
        };
        if !(Duration::from_secs(1)..=WINDOW_MAX).contains(&entry.login.window) {
            let why = "failures would never count, or a mistake keep somebody out for days";
            section.refuse_with(
                "login_window",
                why,
                "write a time from 1s to 1d; usual is 15m",
            );
        }
        if !(SESSION_MIN..=SESSION_MAX).contains(&entry.login.session) {
            let why = "nobody could work with it, or a stolen cookie would stay good";
            section.refuse_with("session", why, "write a time from 1m to 400d; usual is 12h");
        }
        section.finish();
        entry
    }
}

fn certificate(section: &Section<'_>) -> Option<CertificateFiles> {
    let certificate = section.text("tls_certificate_file").map(PathBuf::from);
    let key = section.text("tls_key_file").map(PathBuf::from);
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(CertificateFiles { certificate, key }),
        (Some(_), None) => {
            let why = "the certificate needs its key";
            section.refuse_with("tls_certificate_file", why, "write tls_key_file = \"...\"");
            None
        }
        (None, Some(_)) => {
            let why = "the key needs its certificate";
            section.refuse_with("tls_key_file", why, "write tls_certificate_file = \"...\"");
            None
        }
        (None, None) => None,
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let rule = "write an address and a port, as in 127.0.0.1:8443 or [::1]:8443";
    text.parse()
        .map_err(|_| format!("\"{text}\" is not a place to listen: {rule}"))
}

impl CatalogEntry {
    pub(crate) fn read(section: Section<'_>) -> Self {
        let entry = Self {
            place: section.parsed_by("url", catalog_place),
            password: PASSWORD.read(&section),
            node: section.text("node"),
            lease: section.span_or("lease", LEASE),
        };
        if !(LEASE_MIN..=LEASE_MAX).contains(&entry.lease) {
            let why = "a node that is only busy would lose its tasks, or a dead one keep them";
            section.refuse_with("lease", why, "write a time from 3s to 1h; usual is 60s");
        }
        if matches!(entry.place, None | Some(CatalogPlace::Sqlite(_))) && entry.password.is_some() {
            let why = "a file of SQLite has no password";
            section.warn("url", why, "leave the password out");
        }
        section.finish();
        entry
    }
}

/// Errors never repeat the text: there may be a password in it.
fn catalog_place(text: &str) -> Result<CatalogPlace, &'static str> {
    const RULE: &str = "write \"sqlite:/path/catalog.sqlite\" or \"postgresql://user@host/name\"";
    if let Some(path) = text.strip_prefix("sqlite:") {
        let is_path = path.starts_with('/');
        return is_path
            .then(|| CatalogPlace::Sqlite(PathBuf::from(path)))
            .ok_or(RULE);
    }
    let rest = text.strip_prefix("postgresql://").ok_or(RULE)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let user = rest[..end].rsplit_once('@').map(|(user, _)| user);
    let has_secret = user.is_some_and(|user| user.contains(':')) || rest.contains("password=");
    if has_secret {
        return Err("secrets never stand here, others could read them; write password_file");
    }
    Ok(CatalogPlace::Postgres(text.to_owned()))
}

impl LimitsEntry {
    pub(crate) fn read(section: Section<'_>) -> Self {
        let parallel = section.number_or("parallel", (1, 1000), 8);
        section.finish();
        Self { parallel }
    }
}
