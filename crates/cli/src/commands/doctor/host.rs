//! What the computer itself has to offer: names, the folder of the state, the certificate.

use std::fs;
use std::net::ToSocketAddrs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_config::Config;
use lifeboat_control::Job;
use rustix::fs::{Access, access};

use super::repositories::room;
use super::{Check, certificate};
use crate::service::state_of;
use crate::tables::moment;

/// A certificate that ends sooner is told.
const CERTIFICATE_LEFT: SignedDuration = SignedDuration::from_hours(24 * 21);

/// Looks at the computer.
pub(super) fn look(config: &Config<Job>, checks: &mut Vec<Check>) {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    for name in std::iter::once(&host).chain(&config.server.public_names) {
        checks.push(resolved(name));
    }
    checks.push(zone());
    match state_of(config) {
        Err(error) => {
            let about = ("state.folder", "");
            checks.push(Check::wrong(about, error.to_string(), "set LIFEBOAT_STATE"));
        }
        Ok(state) => {
            checks.push(folder(&state));
            if state.exists() {
                checks.push(room(("state.space", &state.display().to_string()), &state));
            }
            if !config.server.is_plain_http {
                checks.push(encryption(config, &state));
            }
        }
    }
}

/// Whether the zone is known in which schedules are read that name none.
fn zone() -> Check {
    let about = ("host.zone", "");
    match TimeZone::try_system() {
        Ok(zone) => {
            let name = zone.iana_name().unwrap_or("of /etc/localtime");
            Check::well(about, format!("schedules without a zone use {name}"))
        }
        Err(error) => Check::warning(
            about,
            format!("this computer's time zone is not known, schedules use UTC: {error}"),
            "timedatectl set-timezone ZONE, or mend the variable TZ",
        ),
    }
}

fn resolved(name: &str) -> Check {
    let about = ("host.name", name);
    match (name, 0).to_socket_addrs() {
        Ok(_) => Check::well(about, "it has an address"),
        Err(error) => Check::warning(
            about,
            format!("it has no address: {error}"),
            "write it into /etc/hosts or into the name server",
        ),
    }
}

fn folder(state: &Path) -> Check {
    let shown = state.display().to_string();
    let about = ("state.folder", shown.as_str());
    let found = match fs::metadata(state) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Check::skipped(about, "it is made by the first run");
        }
        Err(error) => return Check::wrong(about, error.to_string(), "give this user rights"),
    };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let seen = format!("others come in (mode {mode:o}), and keys are kept there");
        return Check::wrong(about, seen, format!("chmod 700 {shown}"));
    }
    let is_writable = access(state, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK);
    if let Err(error) = is_writable {
        let seen = format!(
            "it belongs to user {} and cannot be written: {error}",
            found.uid()
        );
        return Check::wrong(about, seen, "run lifeboat as the user that it belongs to");
    }
    Check::well(about, "only its owner comes in")
}

fn encryption(config: &Config<Job>, state: &Path) -> Check {
    let own = state.join("tls").join("ca.pem");
    let path = match &config.server.certificate {
        Some(files) => &files.certificate,
        None if own.exists() => &own,
        None => {
            return Check::skipped(
                ("tls", ""),
                "the service makes a certificate when it starts",
            );
        }
    };
    let shown = path.display().to_string();
    let about = ("tls", shown.as_str());
    let end = match certificate::end(path) {
        Ok(end) => end,
        Err(error) => {
            let advice = "name a chain of PEM in tls_certificate_file, or none";
            return Check::wrong(about, error, advice);
        }
    };
    let advice = "renew it; the service takes the new one by itself";
    let left = end.duration_since(Timestamp::now());
    match left {
        _ if left.is_negative() => {
            Check::wrong(about, format!("it ended at {}", moment(end)), advice)
        }
        _ if left < CERTIFICATE_LEFT => {
            Check::warning(about, format!("it ends at {}", moment(end)), advice)
        }
        _ => Check::well(about, format!("it counts until {}", moment(end))),
    }
}
