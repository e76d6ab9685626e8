//! Whether secrets are there, and only for us.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lifeboat_config::{Config, Notifications, SecretSource, TargetKind, ValueSource};
use lifeboat_control::Job;

use super::Check;

const CODE: &str = "secret";
/// What everybody may do with a file.
const OTHERS: u32 = 0o007;

/// Looks at every secret that the configuration names.
pub(super) fn look(config: &Config<Job>, checks: &mut Vec<Check>) {
    for (name, repository) in &config.repositories {
        let of = format!("the password of repository {name}");
        checks.push(source(&of, &repository.password));
    }
    if let Some(password) = &config.catalog.password {
        checks.push(source("the password of the catalog", password));
    }
    for (of, secret) in of_notices(&config.notifications) {
        checks.push(source(&of, secret));
    }
    if let Some(files) = &config.server.certificate {
        checks.push(file("the key of the certificate", &files.key));
    }
}

fn of_notices(notifications: &Notifications) -> Vec<(String, &SecretSource)> {
    let mut found = Vec::new();
    for (name, target) in &notifications.targets {
        let (what, secrets): (&str, Vec<&SecretSource>) = match &target.kind {
            TargetKind::Smtp(smtp) => ("password", smtp.password.iter().collect()),
            TargetKind::Webhook(hook) => {
                let values = std::iter::once(&hook.url).chain(hook.headers.values());
                let secrets = values.filter_map(secret).chain(&hook.signing_key);
                ("address, a header or the signing key", secrets.collect())
            }
            TargetKind::Ping(ping) => ("address", secret(&ping.url).into_iter().collect()),
            TargetKind::Command(_) => continue,
        };
        let of = format!("the {what} of target {name}");
        found.extend(secrets.into_iter().map(|secret| (of.clone(), secret)));
    }
    found
}

fn secret(value: &ValueSource) -> Option<&SecretSource> {
    match value {
        ValueSource::Secret(secret) => Some(secret),
        ValueSource::Plain(_) => None,
    }
}

fn source(of: &str, source: &SecretSource) -> Check {
    match source {
        SecretSource::File(path) => file(of, path),
        SecretSource::Environment(name) => match std::env::var_os(name) {
            Some(_) => Check::well((CODE, of), format!("the variable {name} is set")),
            None => Check::warning(
                (CODE, of),
                format!("the variable {name} is not set here"),
                "the service needs it: Environment= in its unit is open to everybody, use \
                 password_credential or password_file",
            ),
        },
        SecretSource::Command(words) => {
            let program = words.first().map_or("", String::as_str);
            Check::skipped((CODE, of), format!("{program} is asked when it is needed"))
        }
        SecretSource::Credential(name) => credential(of, name),
    }
}

fn credential(of: &str, name: &str) -> Check {
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else {
        let seen = format!("systemd hands the credential {name} to its units, not to this command");
        return Check::skipped((CODE, of), seen);
    };
    match Path::new(&folder).join(name).is_file() {
        true => Check::well((CODE, of), format!("systemd handed {name} over")),
        false => Check::wrong(
            (CODE, of),
            format!("systemd handed no credential {name} over"),
            format!("write LoadCredential={name}:/path into the unit"),
        ),
    }
}

fn file(of: &str, path: &Path) -> Check {
    let shown = path.display();
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) => {
            let advice = format!("make it, and chmod 600 {shown}");
            return Check::wrong((CODE, of), format!("{shown}: {error}"), advice);
        }
    };
    let mode = found.permissions().mode() & 0o777;
    if found.is_file() && mode & OTHERS != 0 {
        let seen = format!("{shown} is open to everybody (mode {mode:o})");
        return Check::wrong((CODE, of), seen, format!("chmod 600 {shown}"));
    }
    if let Err(error) = fs::File::open(path) {
        let advice = "run this as the user of the service";
        return Check::wrong((CODE, of), format!("{shown}: {error}"), advice);
    }
    Check::well((CODE, of), format!("{shown} is closed to others"))
}
