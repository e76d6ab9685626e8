//! Signs of life for a dead man's switch, in the way of healthchecks.

use std::time::Duration;

use lifeboat_model::Secret;
use sha2::{Digest, Sha256};

use super::Transport;
use super::exchange::{Exchange, text_of};
use crate::notice::Content;
use crate::{Notice, Outcome, Result};

/// How much of a text goes along, in bytes: services keep little more.
const BODY_BYTES_MAX: usize = 10_000;

/// How a ping is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Method {
    /// With a short text.
    #[default]
    Post,
    /// Without.
    Get,
    /// Without, and nothing comes back either.
    Head,
}

/// How a failure is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PingFailure {
    /// By `/fail`.
    #[default]
    Word,
    /// By the exit code of the run: `/1`.
    ExitCode,
    /// Not at all: the service knows signs of life alone. Nothing but good ends is sent, and
    /// tests as such.
    Silence,
}

/// Where pings go.
#[derive(Clone, Debug)]
pub struct PingSettings {
    /// The target's configured name.
    pub name: String,
    /// The address of success; `/start`, `/fail` and `/log` are below it. Secret: who knows it
    /// can ping.
    pub url: Secret,
    /// How.
    pub method: Method,
    /// How a failure is said.
    pub failure: PingFailure,
    /// Trusted beside the system's certificates, in PEM.
    pub certificates: Vec<u8>,
    /// How long all of it may take.
    pub limit: Duration,
}

/// Pings: `/start` when a run begins, the address itself at its good end, `/fail` at a bad one.
///
/// A notice of conditions is `/fail` while one of them holds, and success when all are over;
/// digests and tests are `/log`.
pub struct Ping {
    exchange: Exchange,
    url: Secret,
    method: Method,
    failure: PingFailure,
}

impl Ping {
    /// Checks the settings.
    ///
    /// Errors: `Invalid`, without the address.
    pub fn new(settings: PingSettings) -> Result<Self> {
        let PingSettings {
            name,
            url,
            method,
            failure,
            certificates,
            limit,
        } = settings;
        Ok(Self {
            exchange: Exchange::new(&name, &url, limit, &certificates)?,
            url,
            method,
            failure,
        })
    }

    /// The path below the address for a notice; none when nothing is sent.
    fn path(&self, notice: &Notice) -> Option<String> {
        let failed = |code: Option<u8>| match self.failure {
            PingFailure::Word => Some("/fail".to_owned()),
            // 0 would be a good end.
            PingFailure::ExitCode => Some(format!("/{}", code.unwrap_or(1).max(1))),
            PingFailure::Silence => None,
        };
        let said = |path: &str| Some(path.to_owned());
        let is_simple = self.failure == PingFailure::Silence;
        match &notice.content {
            Content::RunEnded(run) if run.outcome == Some(Outcome::Failure) => {
                failed(run.exit_code)
            }
            Content::Conditions { .. } if !notice.is_resolved() => failed(None),
            Content::RunEnded(_) | Content::Conditions { .. } => said(""),
            Content::Test if is_simple => said(""),
            Content::RunBegan(_) | Content::Digest(_) if is_simple => None,
            Content::RunBegan(_) => said("/start"),
            Content::Digest(_) | Content::Test => said("/log"),
        }
    }
}

impl Transport for Ping {
    fn send(&self, notice: &Notice) -> Result<()> {
        let Some(path) = self.path(notice) else {
            return Ok(());
        };
        let run = match &notice.content {
            Content::RunBegan(run) | Content::RunEnded(run) => Some(run_id(&run.id)),
            _ => None,
        };
        let url = text_of(&self.url).unwrap_or_default();
        let url = address(url, &path, run);
        let agent = self.exchange.agent();
        let sent = match self.method {
            Method::Get => agent.get(&url).call(),
            Method::Head => agent.head(&url).call(),
            Method::Post => {
                let request = agent.post(&url);
                let request = request.header("Content-Type", "text/plain; charset=utf-8");
                request.send(shortened(&notice.plain()))
            }
        };
        self.exchange.judge(sent)
    }
}

/// The address with a path below it and the run's id, before and in its query.
fn address(url: &str, path: &str, run: Option<String>) -> String {
    let (place, query) = match url.split_once('?') {
        Some((place, query)) => (place, Some(query.to_owned())),
        None => (url, None),
    };
    let queries: Vec<String> = query
        .into_iter()
        .chain(run.map(|run| format!("rid={run}")))
        .collect();
    let place = place.trim_end_matches('/');
    match queries.as_slice() {
        [] => format!("{place}{path}"),
        queries => format!("{place}{path}?{}", queries.join("&")),
    }
}

/// The run's id in the form of a UUID, which services ask for; made from it when it is none.
fn run_id(id: &str) -> String {
    let is_uuid = id.len() == 36
        && id.char_indices().all(|(at, letter)| match at {
            8 | 13 | 18 | 23 => letter == '-',
            _ => letter.is_ascii_hexdigit(),
        });
    if is_uuid {
        return id.to_owned();
    }
    let digest = Sha256::digest(id.as_bytes());
    let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let digits = digits.concat();
    // Version 8, variant 10: a UUID of our own making.
    let (first, second, third) = (&digits[..8], &digits[8..12], &digits[13..16]);
    format!(
        "{first}-{second}-8{third}-8{}-{}",
        &digits[17..20],
        &digits[20..32]
    )
}

/// The beginning of a text, at the boundary of a letter.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(BODY_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_query() {
        let check = |url, path, run: Option<&str>, expected: &str| {
            assert_eq!(address(url, path, run.map(str::to_owned)), expected);
        };
        check("http://a/b", "/start", None, "http://a/b/start");
        check("http://a/b/", "", None, "http://a/b");
        check(
            "http://a/b?k=1",
            "/fail",
            Some("u"),
            "http://a/b/fail?k=1&rid=u",
        );
    }

    #[test]
    fn run_ids_become_uuids() {
        let uuid = "2f1c6a0e-9d3b-4c55-8a77-0123456789ab";
        assert_eq!(run_id(uuid), uuid);
        let made = run_id("run-17");
        assert_eq!(made.len(), 36);
        assert_eq!(run_id(&made), made);
        assert_ne!(made, run_id("run-18"));
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        let long = "ü".repeat(BODY_BYTES_MAX);
        assert!(shortened(&long).len() <= BODY_BYTES_MAX);
    }
}
