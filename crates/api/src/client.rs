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
    Alert, AuditEntry, Begun, Failure, Health, Job, LogLine, Machine, Overview, Point,
    RestoreRequest, RetryPlan, Run, RunDetails, RunRequest, Task, TaskDetails,
};

/// An answer is not read further than so many bytes.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;

/// With this all routes begin.
const START: &str = "/api/v1";

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

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Its rows.
    pub rows: Vec<T>,
    next: Option<String>,
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

    /// Machines by platform and name, at most `count` of 1,000.
    pub fn machines(&self, count: u32) -> Result<Page<Machine>> {
        self.page(&format!("/machines?count={count}"))
    }

    /// Recovery points, of one machine or of all, newest first, at most `count` of 10,000.
    pub fn points(&self, machine: Option<&str>, count: u32) -> Result<Page<Point>> {
        let machine = machine.map(|name| format!("&machine={}", escaped(name)));
        let machine = machine.unwrap_or_default();
        self.page(&format!("/points?count={count}{machine}"))
    }

    /// Jobs by name.
    pub fn jobs(&self) -> Result<Vec<Job>> {
        self.get("/jobs")
    }

    /// Runs, newest first, at most `count` of 1,000.
    pub fn runs(&self, count: u32) -> Result<Page<Run>> {
        self.page(&format!("/runs?count={count}"))
    }

    /// Tasks, of one machine or repository or of all, newest first, at most `count` of 1,000.
    pub fn tasks(&self, subject: Option<&str>, count: u32) -> Result<Page<Task>> {
        let subject = subject.map(|name| format!("&subject={}", escaped(name)));
        let subject = subject.unwrap_or_default();
        self.page(&format!("/tasks?count={count}{subject}"))
    }

    /// Who did what, newest first, at most `count` of 1,000.
    pub fn audit(&self, count: u32) -> Result<Page<AuditEntry>> {
        self.page(&format!("/audit?count={count}"))
    }

    /// The part of a list behind another, if there is more.
    pub fn next<T: DeserializeOwned>(&self, page: &Page<T>) -> Result<Option<Page<T>>> {
        page.next.as_deref().map(|path| self.page(path)).transpose()
    }

    /// A run with its tasks.
    pub fn run(&self, id: i64) -> Result<RunDetails> {
        self.get(&format!("/runs/{id}"))
    }

    /// A task with its steps.
    pub fn task(&self, id: i64) -> Result<TaskDetails> {
        self.get(&format!("/tasks/{id}"))
    }

    /// Lines of a task's log, oldest first, at most `count` of 1,000.
    pub fn log(&self, task: i64, count: u32) -> Result<Page<LogLine>> {
        self.page(&format!("/tasks/{task}/log?count={count}"))
    }

    /// What a task would do once more.
    pub fn plan_retry(&self, task: i64) -> Result<RetryPlan> {
        self.get(&format!("/tasks/{task}/retry"))
    }

    /// Begins a run that does what a task did; one that replaces a machine must be confirmed.
    pub fn retry(&self, task: i64, is_confirmed: bool) -> Result<Begun> {
        let path = format!("/tasks/{task}/retry?is_confirmed={is_confirmed}");
        self.ask(Method::POST, &path, None::<&()>)
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

    /// Alerts that hold, worst first, at most `count` of 1,000.
    pub fn alerts(&self, count: u32) -> Result<Page<Alert>> {
        self.page(&format!("/alerts?count={count}"))
    }

    /// Says that an alert was seen.
    pub fn acknowledge(&self, alert: i64) -> Result<()> {
        let path = format!("/alerts/{alert}/acknowledge");
        self.ask(Method::POST, &path, None::<&()>)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.ask(Method::GET, path, None::<&()>)
    }

    fn page<T: DeserializeOwned>(&self, path: &str) -> Result<Page<T>> {
        let (rows, next) = self.ask_for_part(Method::GET, path, None::<&()>)?;
        Ok(Page { rows, next })
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T> {
        Ok(self.ask_for_part(method, path, body)?.0)
    }

    /// The answer, and where its next part is.
    fn ask_for_part<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(T, Option<String>)> {
        let what = format!("cannot ask {} for {path}", self.address);
        let invalid = |error: &dyn fmt::Display| {
            ClientError::new(ErrorKind::Invalid, format!("{what}: {error}"))
        };
        let address = format!("{}{START}{path}", self.address);
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
        let next = next_part(&answer);
        Ok((read(&what, answer)?, next))
    }
}

/// Where the next part of a list is, below [`START`].
fn next_part(answer: &Response<Body>) -> Option<String> {
    let link = answer.headers().get("link")?.to_str().ok()?;
    let (path, _) = link.strip_prefix('<')?.split_once(">; rel=\"next\"")?;
    path.strip_prefix(START).map(str::to_owned)
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

/// A value inside of an address: of a query, or a part of a path.
pub fn escaped(text: &str) -> String {
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
