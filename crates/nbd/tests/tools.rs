//! Runs the real programs, and waits until their servers answer.

use std::ffi::OsStr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lifeboat_nbd::{Address, ClientOptions, RetryRule};
use lifeboat_testkit::tool;

/// Says whether all programs are here; the test ends early where one is not.
pub(crate) fn are_here() -> bool {
    let names = [
        "nbdcopy", "nbdinfo", "nbdkit", "openssl", "qemu-img", "qemu-io", "qemu-nbd",
    ];
    names.iter().all(|name| tool(name).is_some())
}

/// Runs a program; arguments are separated by blanks, `@1` stands for the first of `places`.
pub(crate) fn try_run(line: &str, places: &[&dyn AsRef<OsStr>]) -> (bool, String) {
    let mut command = command(line, places);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

pub(crate) fn run(line: &str, places: &[&dyn AsRef<OsStr>]) -> String {
    let (is_good, said) = try_run(line, places);
    assert!(is_good, "{line}: {said}");
    said
}

fn command(line: &str, places: &[&dyn AsRef<OsStr>]) -> Command {
    let mut words = line.split(' ').map(|word| match word.strip_prefix('@') {
        Some(number) => places[number.parse::<usize>().unwrap() - 1]
            .as_ref()
            .to_owned(),
        None => word.into(),
    });
    let mut command = Command::new(tool(&words.next().unwrap().to_string_lossy()).unwrap());
    command.args(words);
    command
}

/// A server of another project, until it is dropped.
pub(crate) struct Peer {
    child: Child,
    pub(crate) socket: PathBuf,
}

impl Peer {
    /// Starts a server whose arguments put its socket at `@1`.
    pub(crate) fn start(socket: &Path, line: &str, places: &[&dyn AsRef<OsStr>]) -> Self {
        let mut all: Vec<&dyn AsRef<OsStr>> = vec![&socket];
        all.extend(places);
        let child = command(line, &all)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut this = Self {
            child,
            socket: socket.to_owned(),
        };
        wait_until(line, || {
            let ended = this.child.try_wait().unwrap();
            assert!(ended.is_none(), "{line}: ended with {ended:?}");
            UnixStream::connect(&this.socket).is_ok()
        });
        this
    }

    pub(crate) fn address(&self, export: &str) -> Address {
        Address::unix(&self.socket, export)
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Looks again and again; fails after half a minute.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "waiting: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Options for servers that answer at once or never.
pub(crate) fn options() -> ClientOptions {
    ClientOptions {
        request_bytes: 256 << 10,
        answer_time_max: Duration::from_secs(20),
        retry: RetryRule {
            attempts_max: 0,
            ..RetryRule::default()
        },
        ..ClientOptions::default()
    }
}

pub(crate) fn with_contexts(names: &[&str]) -> ClientOptions {
    ClientOptions {
        contexts: names.iter().map(ToString::to_string).collect(),
        ..options()
    }
}

/// Makes a folder with the certificates of an authority, a server and a client.
pub(crate) fn certificates(folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let at = |name: &str| folder.join(name);
    run(
        &format!(
            "openssl req -x509 {KEY} -keyout @1 -out @2 -subj /CN=authority -days 9 \
             -addext keyUsage=critical,keyCertSign,cRLSign"
        ),
        &[&at("ca-key.pem"), &at("ca-cert.pem")],
    );
    for (side, usage) in [("server", "serverAuth"), ("client", "clientAuth")] {
        run(
            &format!("openssl req {KEY} -keyout @1 -out @2 -subj /CN={side}"),
            &[&at(&format!("{side}-key.pem")), &at("request")],
        );
        let extensions = format!(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
             extendedKeyUsage={usage}\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"
        );
        std::fs::write(at("extensions"), extensions).unwrap();
        run(
            "openssl x509 -req -in @1 -CA @2 -CAkey @3 -CAcreateserial -out @4 -days 9 \
             -extfile @5",
            &[
                &at("request"),
                &at("ca-cert.pem"),
                &at("ca-key.pem"),
                &at(&format!("{side}-cert.pem")),
                &at("extensions"),
            ],
        );
    }
    folder.to_owned()
}
