//! A client of the API, for programs that wait for answers.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use lifeboat_model::{ErrorKind, Secret};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use crate::{
    Alert, Begun, Failure, Health, Job, LogLine, Machine, Overview, RestoreRequest, Run,
    RunDetails, RunRequest, TaskDetails,
};

/// An answer is not read further than so many bytes.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;

/// Where a server is, and how it is trusted.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `https://host:8443`; `http://` only for this machine.
    pub address: String,
    /// Certificates to trust, as PEM; those that the program knows if there are none.
    pub authority: Option<Vec<u8>>,
    /// A token, `lb_...`.
    pub token: Option<Secret>,
    /// How long an answer may take.
    pub patience: Duration,
}

/// A server somewhere.
pub struct Client {
    agent: Agent,
    address: String,
    token: Option<Secret>,
}

/// Why there is no answer: what was asked, what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.address)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl StdError for ClientError {}

impl ClientError {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            kind,
            message,
            hint: None,
        }
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

type Result<T> = std::result::Result<T, ClientError>;

impl Client {
    /// A client of the server at an address; asks nothing yet.
    ///
    /// Errors: `Invalid` for another beginning than `https://`, for `http://` to another machine,
    /// and for certificates that are none.
    pub fn new(options: ClientOptions) -> Result<Self> {
        let address = options.address.trim_end_matches('/').to_owned();
        check_address(&address)?;
        let tls = TlsConfig::builder().root_certs(match &options.authority {
            Some(pem) => RootCerts::new_with_certs(&certificates(pem)?),
            None => RootCerts::WebPki,
        });
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(options.patience))
            .tls_config(tls.build());
        Ok(Self {
            agent: Agent::new_with_config(config.build()),
            address,
            token: options.token,
        })
    }

    /// Whether the server answers.
    pub fn health(&self) -> Result<Health> {
        self.get("/health")
    }

    /// Whether everything can be recovered now.
    pub fn overview(&self) -> Result<Overview> {
        self.get("/overview")
    }

    /// Machines by platform and name, at most 1,000 after `platform/name`.
    pub fn machines(&self, after: Option<&str>) -> Result<Vec<Machine>> {
        match after {
            Some(after) => self.get(&format!("/machines?after={}", escaped(after))),
            None => self.get("/machines"),
        }
    }

    /// Jobs by name.
    pub fn jobs(&self) -> Result<Vec<Job>> {
        self.get("/jobs")
    }

    /// Runs, newest first, with numbers smaller than `before`, at most 1,000.
    pub fn runs(&self, before: Option<i64>, count: u32) -> Result<Vec<Run>> {
        let before = before.map(|id| format!("&before={id}")).unwrap_or_default();
        self.get(&format!("/runs?count={count}{before}"))
    }

    /// A run with its tasks.
    pub fn run(&self, id: i64) -> Result<RunDetails> {
        self.get(&format!("/runs/{id}"))
    }

    /// A task with its steps.
    pub fn task(&self, id: i64) -> Result<TaskDetails> {
        self.get(&format!("/tasks/{id}"))
    }

    /// Lines of a task's log after a number.
    pub fn log(&self, task: i64, after: i64) -> Result<Vec<LogLine>> {
        self.get(&format!("/tasks/{task}/log?after={after}"))
    }

    /// Begins a run.
    pub fn begin(&self, request: &RunRequest) -> Result<Begun> {
        self.ask(Method::POST, "/runs", Some(request))
    }

    /// Begins to bring a machine back.
    pub fn restore(&self, request: &RestoreRequest) -> Result<Begun> {
        self.ask(Method::POST, "/restores", Some(request))
    }

    /// Asks for the end of a run.
    pub fn cancel(&self, run: i64) -> Result<()> {
        self.ask(Method::POST, &format!("/runs/{run}/cancel"), None::<&()>)
    }

    /// Alerts that hold, worst first.
    pub fn alerts(&self) -> Result<Vec<Alert>> {
        self.get("/alerts")
    }

    /// Says that an alert was seen.
    pub fn acknowledge(&self, alert: i64) -> Result<()> {
        let path = format!("/alerts/{alert}/acknowledge");
        self.ask(Method::POST, &path, None::<&()>)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.ask(Method::GET, path, None::<&()>)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T> {
        let what = format!("cannot ask {} for {path}", self.address);
        let invalid = |error: &dyn fmt::Display| {
            ClientError::new(ErrorKind::Invalid, format!("{what}: {error}"))
        };
        let address = format!("{}/api/v1{path}", self.address);
        let mut request = Request::builder().method(method).uri(address);
        if let Some(token) = &self.token {
            let token = String::from_utf8_lossy(token.expose());
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let answer = match body {
            Some(body) => {
                let body = serde_json::to_vec(body).map_err(|error| invalid(&error))?;
                let request = request
                    .header("Content-Type", "application/json")
                    .body(body);
                self.agent.run(request.map_err(|error| invalid(&error))?)
            }
            None => self
                .agent
                .run(request.body(()).map_err(|error| invalid(&error))?),
        };
        let answer = answer.map_err(|error| unanswered(&what, &error))?;
        read(&what, answer)
    }
}

fn read<T: DeserializeOwned>(what: &str, mut answer: Response<Body>) -> Result<T> {
    let status = answer.status();
    let bytes = answer
        .body_mut()
        .with_config()
        .limit(ANSWER_MAX)
        .read_to_vec();
    let bytes = bytes.map_err(|error| unanswered(what, &error))?;
    if status.is_success() {
        let text = if bytes.is_empty() {
            b"null"
        } else {
            bytes.as_slice()
        };
        return serde_json::from_slice(text).map_err(|error| {
            let message = format!("{what}: the answer is not what was expected: {error}");
            ClientError::new(ErrorKind::Corrupt, message)
        });
    }
    match serde_json::from_slice::<Failure>(&bytes) {
        Ok(failure) => Err(ClientError {
            kind: failure.kind.to_error(),
            message: failure.message,
            hint: failure.hint,
        }),
        Err(_) => Err(ClientError::new(
            ErrorKind::Unreachable,
            format!("{what}: status {status} from something that is not lifeboat"),
        )),
    }
}

fn unanswered(what: &str, error: &ureq::Error) -> ClientError {
    let mut message = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    let mut error = ClientError::new(ErrorKind::Unreachable, message);
    if error.message.contains("UnknownIssuer") {
        error.kind = ErrorKind::Denied;
        error.hint = Some("name the server's own certificate authority, ca.pem".to_owned());
    }
    error
}

fn check_address(address: &str) -> Result<()> {
    let host = |rest: &str| rest.split(['/', '?', '#']).next().unwrap_or("").to_owned();
    let is_here = |host: &str| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        ["127.0.0.1", "localhost", "[::1]"].contains(&name)
    };
    // Whatever stands before an `@` is no host.
    let is_fine = !address.contains('@')
        && match (
            address.strip_prefix("https://"),
            address.strip_prefix("http://"),
        ) {
            (Some(rest), _) => !host(rest).is_empty(),
            (_, Some(rest)) => is_here(&host(rest)),
            _ => false,
        };
    let text = "is no address of a server: write https://host:8443 (http:// only for this machine)";
    is_fine
        .then_some(())
        .ok_or_else(|| ClientError::new(ErrorKind::Invalid, format!("\"{address}\" {text}")))
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>> {
    let found: Vec<_> = parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match found.is_empty() {
        true => Err(ClientError::new(
            ErrorKind::Invalid,
            "the file of the certificate authority holds no certificate",
        )),
        false => Ok(found),
    }
}

/// A value inside of an address.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
