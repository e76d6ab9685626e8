//! Those who get notices: a real mail server, and web servers of all manners.
//!
//! Both listen on ports of their own on this computer and keep what they took.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::tool;

/// How long a test waits for what certainly comes.
const PATIENCE: Duration = Duration::from_secs(120);
/// What `localhost` is certified by.
const CERTIFICATE: &str = "[req]\ndistinguished_name=n\nx509_extensions=x\nprompt=no\n[n]\n\
                           CN=localhost\n[x]\nsubjectAltName=DNS:localhost\n\
                           basicConstraints=critical,CA:FALSE\n";

/// What a web server does with a connection.
#[derive(Clone, Copy, Debug)]
pub enum Manner {
    /// Answers with this status line and headers.
    Answers(&'static str),
    /// Takes the request and says nothing.
    IsSilent,
    /// Ends the connection in the middle of its answer's headers.
    BreaksOff,
    /// Answers well, with 10 GB.
    Floods,
    /// Answers with headers that never end.
    NeverEnds,
}

/// A web server that keeps what it was asked.
#[derive(Debug)]
pub struct WebServer {
    /// Where it listens.
    pub port: u16,
    requests: Receiver<(String, Vec<u8>)>,
    floods: Receiver<u64>,
}

impl WebServer {
    /// Starts it; it ends with the process.
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = channel();
        let (tell_flood, floods) = channel();
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read_request(&mut stream) else {
                    continue;
                };
                if sender.send(request).is_err() {
                    return;
                }
                // Whoever asked may be gone already.
                let _ = answer(&mut stream, manner, &tell_flood);
                if matches!(manner, Manner::IsSilent) {
                    kept.push(stream);
                }
            }
        });
        Self {
            port,
            requests,
            floods,
        }
    }

    /// The next request: its head and its body.
    pub fn request(&self) -> (String, Vec<u8>) {
        self.requests.recv_timeout(PATIENCE).unwrap()
    }

    /// A request that has come already.
    pub fn request_at_hand(&self) -> Option<(String, Vec<u8>)> {
        self.requests.try_recv().ok()
    }

    /// How many bytes of a flood the other side let in.
    pub fn flood(&self) -> u64 {
        self.floods.recv_timeout(PATIENCE).unwrap()
    }
}

fn answer(stream: &mut TcpStream, manner: Manner, floods: &Sender<u64>) -> std::io::Result<()> {
    match manner {
        Manner::Answers(head) => {
            let rest = "\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            stream.write_all(format!("HTTP/1.1 {head}{rest}").as_bytes())
        }
        Manner::IsSilent => Ok(()),
        Manner::BreaksOff => stream.write_all(b"HTTP/1.1 200 OK\r\nConte"),
        Manner::Floods => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")?;
            pour(stream, &[b'x'; 1 << 16], floods)
        }
        Manner::NeverEnds => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            pour(stream, "X-More: x\r\n".repeat(1000).as_bytes(), floods)
        }
    }
}

/// Writes until nobody takes it any more, at most 10 GB.
fn pour(stream: &mut TcpStream, block: &[u8], floods: &Sender<u64>) -> std::io::Result<()> {
    let mut bytes = 0;
    while bytes < 10_000_000_000 && stream.write_all(block).is_ok() {
        bytes += block.len() as u64;
    }
    let _ = floods.send(bytes);
    Ok(())
}

fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// The value of a header in a request's head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A real mail server, and a certificate for `localhost`; ends with its value.
#[derive(Debug)]
pub struct MailServer {
    /// Where it listens.
    pub port: u16,
    folder: tempfile::TempDir,
    child: Child,
    lines: Receiver<String>,
}

impl MailServer {
    /// Starts it; `mode` are words that its script knows: `tls`, `starttls`, `auth` (user `ada`,
    /// password `open sesame`). Nothing where a program is missing; says so.
    ///
    /// # Panics
    /// When one is missing and `CI` is set.
    pub fn start(mode: &[&str]) -> Option<Self> {
        let (python, openssl) = (mail_python()?, tool("openssl")?);
        let folder = tempfile::tempdir().unwrap();
        certify(&openssl, folder.path());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mail_server.py");
        let mut child = Command::new(python)
            .arg(script)
            .args(["certificate.pem", "key.pem"])
            .args(mode)
            .current_dir(&folder)
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
        Some(Self {
            port,
            folder,
            child,
            lines,
        })
    }

    /// Its certificate, PEM.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// The next mail as the server took it.
    pub fn mail(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).unwrap()).unwrap()
    }

    /// A mail that has come already.
    pub fn mail_at_hand(&self) -> Option<Value> {
        serde_json::from_str(&self.lines.try_recv().ok()?).unwrap()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn certify(openssl: &Path, folder: &Path) {
    fs::write(folder.join("settings"), CERTIFICATE).unwrap();
    let status = Command::new(openssl)
        .current_dir(folder)
        .args("req -x509 -config settings -newkey ec -pkeyopt".split(' '))
        .args("ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '))
        .args("-keyout key.pem -out certificate.pem".split(' '))
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

/// Debian's Python, if it has the mail server.
fn mail_python() -> Option<PathBuf> {
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
