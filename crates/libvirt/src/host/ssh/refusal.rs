//! What went wrong at the other end or on the way there, and what to do about it.

use std::process::{Command, ExitStatus};

use lifeboat_model::ErrorKind;
use lifeboat_platform::Error;

/// ssh itself failed, and not what it was to run.
const SSH_FAILED: i32 = 255;
/// A shell found no such program.
const NO_SUCH_PROGRAM: i32 = 127;
/// Limit: letters of a complaint that are passed on.
const LETTERS_MAX: usize = 400;

/// How a call ended that did not succeed.
pub(crate) struct Refusal {
    pub(crate) status: Option<ExitStatus>,
    /// What was complained.
    pub(crate) text: String,
}

/// A failure of ssh: what is in its complaint, the kind, what to do.
const OF_SSH: [(&str, ErrorKind, &str); 8] = [
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        ErrorKind::Denied,
        "its host key is another one than known_hosts has: find out why, then mend known_hosts",
    ),
    (
        "Host key verification failed",
        ErrorKind::Denied,
        "its host key is not known here: connect with ssh once as this user and compare the key",
    ),
    (
        "Permission denied",
        ErrorKind::Denied,
        "it refuses the login, and nothing is asked: load a key into ssh-agent, or name one with \
         ?keyfile=",
    ),
    (
        "Could not resolve hostname",
        ErrorKind::Unreachable,
        "there is no such host: see the platform's URI",
    ),
    (
        "Connection refused",
        ErrorKind::Unreachable,
        "nothing listens there: see whether sshd runs and whether the port is right",
    ),
    (
        "timed out",
        ErrorKind::Unreachable,
        "it does not answer: see whether it runs and what lies between",
    ),
    (
        "No route to host",
        ErrorKind::Unreachable,
        "there is no way to it: see whether it runs and what lies between",
    ),
    (
        "Identity file",
        ErrorKind::NotFound,
        "see ?keyfile= in the platform's URI",
    ),
];

/// A failure of a script: what is in its complaint, and the kind.
const OF_SCRIPT: [(&str, ErrorKind); 12] = [
    ("Failed to get", ErrorKind::Busy),
    ("busy", ErrorKind::Busy),
    ("in use", ErrorKind::Busy),
    ("File exists", ErrorKind::Exists),
    ("cannot overwrite existing", ErrorKind::Exists),
    ("Directory nonexistent", ErrorKind::NotFound),
    ("No space left", ErrorKind::Full),
    ("quota", ErrorKind::Full),
    ("ermission denied", ErrorKind::Denied),
    ("not permitted", ErrorKind::Denied),
    ("Read-only file system", ErrorKind::Denied),
    ("No such file", ErrorKind::NotFound),
];

/// The error of a call that failed.
pub(crate) fn refused(refusal: &Refusal, doing: &'static str, object: &str) -> Error {
    let shown = shown(&refusal.text);
    match refusal.status.and_then(|it| it.code()) {
        Some(SSH_FAILED) => {
            let known = OF_SSH.iter().find(|(part, ..)| refusal.text.contains(part));
            let (kind, advice) = known.map_or(
                (
                    ErrorKind::Unreachable,
                    "see whether `ssh` reaches it by hand",
                ),
                |(_, kind, advice)| (*kind, *advice),
            );
            Error::new(kind, doing, object).seen(format!("{advice} ({shown})"))
        }
        Some(NO_SUCH_PROGRAM) => Error::new(ErrorKind::Unsupported, doing, object).seen(format!(
            "a program is missing on the other host; install qemu-utils, coreutils and util-linux \
             there ({shown})"
        )),
        None => Error::new(ErrorKind::Unreachable, doing, object).seen(format!(
            "the connection to the other host was lost; run it again ({shown})"
        )),
        Some(_) => complained(&refusal.text, doing, object),
    }
}

/// The error of what a program at the other end complained.
pub(crate) fn complained(text: &str, doing: &'static str, object: &str) -> Error {
    let known = OF_SCRIPT.iter().find(|(part, _)| text.contains(part));
    let kind = known.map_or(ErrorKind::Io, |(_, kind)| *kind);
    Error::new(kind, doing, object).seen(format!("the other host says: {}", shown(text)))
}

/// The error of a program that could not be started here.
pub(crate) fn no_program(command: &Command, cause: std::io::Error) -> Error {
    let name = command.get_program().to_string_lossy().into_owned();
    let error = Error::io("starting", name, cause);
    match error.kind() {
        ErrorKind::NotFound => error.seen("install openssh-client"),
        _ => error,
    }
}

/// The last line that says something, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut lines = text.lines().rev().map(str::trim);
    let line = lines.find(|it| !it.is_empty()).unwrap_or("no reason given");
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    line.chars().take(LETTERS_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn failures_say_what_to_do() {
        let error = |code: i32, text: &str| {
            let status = Some(ExitStatus::from_raw(code << 8));
            let text = text.to_owned();
            refused(&Refusal { status, text }, "reaching", "host")
        };
        let cases = [
            (
                255,
                "x\nHost key verification failed.",
                ErrorKind::Denied,
                "compare the key",
            ),
            (
                255,
                "u@h: Permission denied (publickey).",
                ErrorKind::Denied,
                "keyfile",
            ),
            (
                255,
                "Could not resolve hostname h",
                ErrorKind::Unreachable,
                "no such host",
            ),
            (
                255,
                "connect to host h: Connection refused",
                ErrorKind::Unreachable,
                "sshd",
            ),
            (
                127,
                "sh: 1: qemu-nbd: not found",
                ErrorKind::Unsupported,
                "qemu-utils",
            ),
            (
                1,
                "head: x: No such file or directory",
                ErrorKind::NotFound,
                "No such file",
            ),
            (
                2,
                "sh: 3: cannot create /x: File exists",
                ErrorKind::Exists,
                "File exists",
            ),
            (
                1,
                "cat: write error: No space left on device",
                ErrorKind::Full,
                "No space",
            ),
        ];
        for (code, text, kind, part) in cases {
            let error = error(code, text);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
        let lost = Refusal {
            status: None,
            text: "a\u{1b}[2Jb".into(),
        };
        let lost = refused(&lost, "reading", "x");
        assert_eq!(lost.kind(), ErrorKind::Unreachable);
        assert!(!lost.to_string().contains('\u{1b}'));
    }
}
