//! Where a disk is exported, parsed once.
//!
//! Source: doc/uri.md of the NBD project.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use lifeboat_model::ParseError;

/// The port where an address names none.
pub const PORT: u16 = 10809;

/// Longest export name and longest host name that are accepted, in bytes (proto.md, "strings").
const NAME_BYTES_MAX: usize = 4096;
/// Longest path of a unix socket, in bytes: the kernel's limit without the final NUL.
pub(crate) const SOCKET_PATH_BYTES_MAX: usize = 107;

const RULE: &str = "write nbd://host[:port]/export or nbd+unix:///export?socket=PATH; \
                    nbds and nbds+unix ask for TLS";

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A host (name or number, IPv6 without brackets) and a port.
    Tcp {
        /// Host name or number.
        host: String,
        /// Port.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

/// One exported disk: where, whether under TLS, which.
///
/// Reads as one of `nbd://host[:port]/export`, `nbds://…`, `nbd+unix:///export?socket=PATH`,
/// `nbds+unix://…`, and is written the same way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    endpoint: Endpoint,
    is_encrypted: bool,
    export: String,
}

impl Address {
    /// An export behind a unix socket, without TLS.
    pub fn unix(socket: &Path, export: &str) -> Self {
        Self {
            endpoint: Endpoint::Unix(socket.to_owned()),
            is_encrypted: false,
            export: export.to_owned(),
        }
    }

    /// An export of a host, without TLS.
    pub fn tcp(host: &str, port: u16, export: &str) -> Self {
        Self {
            endpoint: Endpoint::Tcp {
                host: host.to_owned(),
                port,
            },
            is_encrypted: false,
            export: export.to_owned(),
        }
    }

    /// The same export, under TLS.
    pub fn encrypted(self) -> Self {
        Self {
            is_encrypted: true,
            ..self
        }
    }

    /// Where the server listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether TLS is asked for; without it nothing is said.
    pub fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// The export's name; empty for the server's default.
    pub fn export(&self) -> &str {
        &self.export
    }
}

impl FromStr for Address {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refused = |rule| ParseError::new("address of an exported disk", text, rule);
        let (scheme, rest) = text.split_once("://").ok_or_else(|| refused(RULE))?;
        let (is_encrypted, is_unix) = match scheme {
            "nbd" => (false, false),
            "nbds" => (true, false),
            "nbd+unix" => (false, true),
            "nbds+unix" => (true, true),
            _ => return Err(refused(RULE)),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let endpoint = match is_unix {
            true => unix_endpoint(authority, query).map_err(refused)?,
            false => tcp_endpoint(authority, query).map_err(refused)?,
        };
        let export = decoded(path).map_err(refused)?;
        let export = String::from_utf8(export).map_err(|_| refused("an export's name is UTF-8"))?;
        if export.len() > NAME_BYTES_MAX || export.contains('\0') {
            return Err(refused(
                "an export's name has at most 4096 bytes and no NUL",
            ));
        }
        Ok(Self {
            endpoint,
            is_encrypted,
            export,
        })
    }
}

type Parsed<T> = Result<T, &'static str>;

fn unix_endpoint(authority: &str, query: &str) -> Parsed<Endpoint> {
    if !authority.is_empty() {
        return Err("nbd+unix has no host: write three slashes before the export");
    }
    let path = query
        .strip_prefix("socket=")
        .filter(|path| !path.contains('&'))
        .ok_or("nbd+unix needs ?socket=PATH, and knows nothing else behind ?")?;
    let path = String::from_utf8(decoded(path)?).map_err(|_| "the socket's path is UTF-8")?;
    if path.is_empty() || path.len() > SOCKET_PATH_BYTES_MAX || path.contains('\0') {
        return Err("a socket's path has 1 to 107 bytes and no NUL");
    }
    Ok(Endpoint::Unix(path.into()))
}

fn tcp_endpoint(authority: &str, query: &str) -> Parsed<Endpoint> {
    if !query.is_empty() {
        return Err("nbd:// knows nothing behind ?: give certificates as options");
    }
    if authority.contains('@') {
        return Err("there are no users in NBD");
    }
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("a [ without its ]")?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or("a port is a number from 1 to 65535")?,
        None if rest.is_empty() => PORT,
        _ => return Err("behind the host comes :PORT or nothing; an IPv6 number stands in []"),
    };
    let host = String::from_utf8(decoded(host)?).map_err(|_| "a host's name is UTF-8")?;
    let is_plain = |letter: char| !letter.is_control() && !letter.is_whitespace();
    if host.is_empty() || host.len() > 255 || !host.chars().all(is_plain) {
        return Err("a host's name has 1 to 255 bytes, without blanks");
    }
    Ok(Endpoint::Tcp { host, port })
}

/// Text with its `%41` replaced by the bytes they stand for.
fn decoded(text: &str) -> Parsed<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'#' {
            return Err("an address has no fragment: write # as %23");
        }
        bytes.push(match byte {
            b'%' => hex(rest.next())? << 4 | hex(rest.next())?,
            byte => byte,
        });
    }
    Ok(bytes)
}

fn hex(byte: Option<u8>) -> Parsed<u8> {
    let digit = byte.and_then(|byte| char::from(byte).to_digit(16));
    digit
        .and_then(|digit| u8::try_from(digit).ok())
        .ok_or("behind % come two hexadecimal digits")
}

/// Writes text so that [`decoded`] and other programs read it back.
fn encode(f: &mut fmt::Formatter<'_>, text: &str, kept: &str) -> fmt::Result {
    for byte in text.bytes() {
        let letter = char::from(byte);
        if letter.is_ascii_alphanumeric() || "-._~/".contains(letter) || kept.contains(letter) {
            write!(f, "{letter}")?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_encrypted { "nbds" } else { "nbd" })?;
        match &self.endpoint {
            Endpoint::Unix(path) => {
                f.write_str("+unix:///")?;
                encode(f, &self.export, "")?;
                f.write_str("?socket=")?;
                encode(f, &path.to_string_lossy(), "")
            }
            Endpoint::Tcp { host, port } => {
                f.write_str("://")?;
                match host.contains(':') {
                    true => {
                        f.write_str("[")?;
                        encode(f, host, ":")?;
                        f.write_str("]")?;
                    }
                    false => encode(f, host, "")?,
                }
                if *port != PORT {
                    write!(f, ":{port}")?;
                }
                f.write_str("/")?;
                encode(f, &self.export, "")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_read_as_other_programs_write_them() {
        assert_eq!(parsed("nbd://host"), Address::tcp("host", PORT, ""));
        assert_eq!(parsed("nbd://host:99/a/b"), Address::tcp("host", 99, "a/b"));
        let number = parsed("nbds://[::1]:10810/web%2001");
        assert_eq!(number, Address::tcp("::1", 10810, "web 01").encrypted());
        let unix = parsed("nbd+unix:///vda?socket=/run/x.sock");
        assert_eq!(unix, Address::unix(Path::new("/run/x.sock"), "vda"));
        assert_eq!(unix.to_string(), "nbd+unix:///vda?socket=/run/x.sock");
        assert!(parsed("nbds+unix:///?socket=s").is_encrypted());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "host:10809",
            "http://host/",
            "nbd://",
            "nbd://:10809/x",
            "nbd://host:0/x",
            "nbd://host:70000/x",
            "nbd://host:+1/x",
            "nbd://host:/x",
            "nbd://::1/x",
            "nbd://[::1/x",
            "nbd://user@host/x",
            "nbd://host/x?socket=s",
            "nbd://host/%4",
            "nbd://host/%zz",
            "nbd://host/%00",
            "nbd://host/%ff",
            "nbd://host/x#part",
            "nbd+unix:///x",
            "nbd+unix:///x?socket=",
            "nbd+unix://host/x?socket=s",
            "nbd+unix:///x?socket=s&tls=1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        let long = format!("nbd+unix:///x?socket=/{}", "a".repeat(107));
        assert!(long.parse::<Address>().is_err());
    }

    proptest! {
        #[test]
        fn an_address_reads_back_as_written(
            export in "[^\0]{0,40}", socket in "[^\0]{1,20}", host in "[a-z0-9.:-]{1,20}",
            port in 1u16.., tls in any::<bool>(), unix in any::<bool>(),
        ) {
            let address = match unix {
                true => Address::unix(Path::new(&socket), &export),
                false => Address::tcp(&host, port, &export),
            };
            let address = if tls { address.encrypted() } else { address };
            prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            drop(format!("nbd{text}").parse::<Address>());
            drop(format!("nbd+unix://{text}").parse::<Address>());
            drop(format!("nbd://{text}").parse::<Address>());
        }
    }
}
