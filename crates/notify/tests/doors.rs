//! Servers that targets talk to: a web server of the test, and a real mail server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use lifeboat_notify::{Condition, Content, Event, Item, Notice, Severity, Subject};
use serde_json::Value;

use crate::world::{later, start};

/// How long a test waits for what certainly comes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long targets wait for servers that are silent on purpose.
pub(crate) const SHORT: Duration = Duration::from_millis(300);
/// How long they wait for those that answer.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A notice about one machine.
pub(crate) fn notice(machine: &str, target: &str) -> Notice {
    let condition = Condition {
        key: format!("rpo/{machine}"),
        severity: Severity::Critical,
        subject: Subject {
            machine: Some(machine.to_owned()),
            ..Subject::default()
        },
        text: "no backup for 26 h; look at its last run".to_owned(),
        since: start(),
        cleared: None,
        link: Some("https://lifeboat.example/machines/1".to_owned()),
    };
    Notice {
        id: "19caf-1".to_owned(),
        at: later(start(), 60),
        label: "lifeboat berlin".to_owned(),
        target: target.to_owned(),
        severity: Severity::Critical,
        route: "all".to_owned(),
        level: 0,
        content: Content::Conditions {
            items: vec![Item {
                event: Event::Began,
                condition,
                acknowledged_by: None,
            }],
            more: 0,
            missed: 0,
        },
    }
}

/// What a server of the test does with a connection.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// Answers with this status line and headers.
    Answers(&'static str),
    /// Takes the request and says nothing.
    IsSilent,
    /// Ends the connection in the middle of its answer's headers.
    BreaksOff,
}

/// A web server that keeps what it was asked.
pub(crate) struct WebServer {
    pub(crate) port: u16,
    requests: Receiver<(String, Vec<u8>)>,
}

impl WebServer {
    pub(crate) fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = channel();
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = read_request(&mut stream);
                match manner {
                    Manner::Answers(head) => {
                        let rest = "\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                        stream
                            .write_all(format!("HTTP/1.1 {head}{rest}").as_bytes())
                            .unwrap();
                    }
                    Manner::IsSilent => kept.push(stream),
                    Manner::BreaksOff => stream.write_all(b"HTTP/1.1 200 OK\r\nConte").unwrap(),
                }
                if sender.send(request).is_err() {
                    return;
                }
            }
        });
        Self { port, requests }
    }

    /// The next request: its head and its body.
    pub(crate) fn request(&self) -> (String, Vec<u8>) {
        self.requests.recv_timeout(PATIENCE).unwrap()
    }
}

fn read_request(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

/// Debian's Python, if it has the mail server; without it the test ends early.
///
/// # Panics
/// When it is missing and `CI` is set.
pub(crate) fn mail_python() -> Option<PathBuf> {
    let python = PathBuf::from("/usr/bin/python3");
    let has_server = Command::new(&python)
        .args(["-c", "import aiosmtpd"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_server {
        let missing = "python3-aiosmtpd is missing (install it)";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("SKIPPED: {missing}");
    }
    has_server.then_some(python)
}

/// A real mail server; ends with its value.
pub(crate) struct MailServer {
    pub(crate) port: u16,
    child: Child,
    lines: Receiver<String>,
}

impl MailServer {
    /// Starts it; `mode` are words that its script knows.
    pub(crate) fn start(python: &Path, mode: &[&str], certificate: &Path, key: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail_server.py");
        let mut child = Command::new(python)
            .arg(script)
            .args([certificate, key])
            .args(mode)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let port = lines.recv_timeout(PATIENCE).unwrap().parse().unwrap();
        Self { port, child, lines }
    }

    /// The next mail as the server took it.
    pub(crate) fn mail(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).unwrap()).unwrap()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
