//! Where another host is and how its ssh is asked, read from libvirt's URI once.
//!
//! Source: libvirt's documentation, "Remote support", transport ssh and its parameters.

use std::ffi::OsString;

use lifeboat_model::ErrorKind;
use lifeboat_platform::{Error, Result};

/// The transports that go through sshd on the other host.
const TRANSPORTS: [&str; 3] = ["ssh", "libssh", "libssh2"];

/// What every call of ssh is told: nothing is ever asked, nothing but our own words runs.
const FIXED: [&str; 10] = [
    "BatchMode=yes",
    "RemoteCommand=none",
    "RequestTTY=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "ConnectTimeout=30",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    "StreamLocalBindUnlink=yes",
];

/// A host behind ssh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SshAddress {
    /// `ssh`, or what the URI's `command` names.
    program: OsString,
    user: Option<String>,
    host: String,
    port: Option<u16>,
    keyfile: Option<String>,
    known_hosts: Option<String>,
    /// Whether a host key may be one that nobody has seen before.
    is_unverified: bool,
}

impl SshAddress {
    /// Nothing for a URI of another transport.
    ///
    /// Errors: `Invalid`.
    pub(crate) fn of(uri: &str) -> Result<Option<Self>> {
        let failed = |seen: &'static str| {
            Error::new(ErrorKind::Invalid, "reading the platform's URI", uri).seen(seen)
        };
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Ok(None);
        };
        let transport = scheme.split_once('+').map(|(_, transport)| transport);
        if !transport.is_some_and(|it| TRANSPORTS.contains(&it)) {
            return Ok(None);
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = place.split('/').next().unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) =
            host_and_port(host).ok_or_else(|| failed("write [user@]host[:port] behind ://"))?;
        let user = user.map(|it| decoded(it).ok_or_else(|| failed("its user is no text")));
        let mut address = Self {
            program: "ssh".into(),
            user: user.transpose()?.filter(|it| !it.is_empty()),
            host: host.to_owned(),
            port,
            keyfile: None,
            known_hosts: None,
            is_unverified: false,
        };
        for (name, value) in parameters(query) {
            let value = decoded(value).ok_or_else(|| failed("a parameter is no text"))?;
            address.set(name, value);
        }
        Ok(Some(address))
    }

    fn set(&mut self, name: &str, value: String) {
        match name {
            "command" => self.program = value.into(),
            "keyfile" => self.keyfile = Some(value),
            "known_hosts" => self.known_hosts = Some(value),
            "no_verify" => self.is_unverified = !matches!(value.as_str(), "" | "0"),
            "known_hosts_verify" => self.is_unverified = value == "ignore",
            // The others are libvirt's own business.
            _ => {}
        }
    }

    pub(crate) fn program(&self) -> &OsString {
        &self.program
    }

    /// Options for every call, and the host: what follows is the line for its shell.
    pub(crate) fn words(&self, more: &[&str]) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["-T".into()];
        let mut option = |text: &str| words.extend(["-o".into(), OsString::from(text)]);
        FIXED.iter().for_each(|text| option(text));
        if self.is_unverified {
            option("StrictHostKeyChecking=no");
        }
        if let Some(file) = &self.known_hosts {
            option(&format!("UserKnownHostsFile={}", literal(file)));
        }
        let mut pair = |name: &str, value: &str| {
            words.extend([OsString::from(name), OsString::from(value)]);
        };
        if let Some(port) = self.port {
            pair("-p", &port.to_string());
        }
        if let Some(user) = &self.user {
            pair("-l", user);
        }
        if let Some(file) = &self.keyfile {
            pair("-i", &file.replace('%', "%%"));
        }
        words.extend(more.iter().map(OsString::from));
        words.extend(["--".into(), OsString::from(&self.host)]);
        words
    }

    /// As people write it for ssh.
    pub(crate) fn shown(&self) -> String {
        match &self.user {
            Some(user) => format!("{user}@{}", self.host),
            None => self.host.clone(),
        }
    }
}

/// A path as it stands in an option of ssh: one word, nothing expanded.
fn literal(path: &str) -> String {
    let escaped = path.replace('%', "%%").replace('\\', "\\\\");
    format!("\"{}\"", escaped.replace('"', "\\\""))
}

/// The host, without the brackets of IPv6, and the port.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:%".contains(c);
    if host.is_empty() || host.starts_with('-') || !host.chars().all(is_plain) {
        return None;
    }
    let port = match port {
        None | Some("") => None,
        Some(port) => Some(port.parse().ok()?),
    };
    Some((host, port))
}

/// Names and values of a URI's query, as they stand there.
fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = query.split('#').next().unwrap_or_default();
    let parts = query.split(['&', ';']).filter(|it| !it.is_empty());
    parts.map(|it| it.split_once('=').unwrap_or((it, "")))
}

/// The URI with which libvirt never asks for a password on the terminal.
pub(crate) fn without_questions(uri: &str) -> String {
    let query = uri.split_once('?').map(|(_, query)| query);
    match query {
        Some(query) if parameters(query).any(|(name, _)| name == "no_tty") => uri.to_owned(),
        Some("") => format!("{uri}no_tty=1"),
        Some(_) => format!("{uri}&no_tty=1"),
        None => format!("{uri}?no_tty=1"),
    }
}

/// Text without percent signs; nothing if it is none.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(uri: &str) -> Vec<String> {
        let address = SshAddress::of(uri).unwrap().unwrap();
        let words = address.words(&["-N"]);
        let words = words.into_iter().map(|it| it.into_string().unwrap());
        let words: Vec<_> = words.collect();
        // What is the same for every host.
        words[1 + 2 * FIXED.len()..].to_vec()
    }

    #[test]
    fn what_the_uri_says_is_said_to_ssh() {
        assert_eq!(words("qemu+ssh://host/system"), ["-N", "--", "host"]);
        let uri = "qemu+ssh://root@[fe80::1]:2222/system?keyfile=/k%20ey&no_verify=1&socket=/s";
        let expected = "-o StrictHostKeyChecking=no -p 2222 -l root -i /k ey -N -- fe80::1";
        assert_eq!(words(uri).join(" "), expected);
        let known = words("qemu+libssh2://h/system?known_hosts=/a%22%25b");
        assert_eq!(known[1], "UserKnownHostsFile=\"/a\\\"%%b\"");
        let other = SshAddress::of("qemu+ssh://h/session?command=/opt/ssh").unwrap();
        assert_eq!(other.unwrap().program(), "/opt/ssh");
    }

    #[test]
    fn other_transports_and_hostile_hosts_are_no_hosts_behind_ssh() {
        for uri in [
            "qemu:///system",
            "qemu+tls://h/system",
            "qemu+unix:///x",
            "x",
        ] {
            assert_eq!(SshAddress::of(uri).unwrap(), None);
        }
        for host in [
            "-oProxyCommand=x",
            "",
            "a b",
            "a:b:c",
            "h:99999",
            "a;b",
            "[::1",
        ] {
            assert!(
                SshAddress::of(&format!("qemu+ssh://{host}/system")).is_err(),
                "{host}"
            );
        }
        assert!(SshAddress::of("qemu+ssh://h/system?keyfile=%zz").is_err());
    }

    #[test]
    fn libvirt_is_told_to_ask_nothing() {
        let told = [
            "qemu+ssh://h/system",
            "qemu+ssh://h/system?",
            "qemu+ssh://h/s?a=b",
        ];
        let told = told.map(without_questions);
        assert!(told.iter().all(|it| it.ends_with("no_tty=1")), "{told:?}");
        for uri in &told {
            assert_eq!(without_questions(uri), *uri);
        }
    }
}
