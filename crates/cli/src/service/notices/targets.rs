//! Ways to people, from what is configured; secrets are resolved here.

use std::time::Duration;

use lifeboat_config::{Notifications, SmtpEncryption, SmtpEntry, TargetEntry, ValueSource};
use lifeboat_model::{ErrorKind, Secret};
use lifeboat_notify::{
    Command, CommandSettings, Mail, MailSecurity, MailSettings, Method, Ping, PingSettings,
    Targets, WebHook, WebHookSettings,
};

use crate::configuration::resolve;
use crate::error::{Error, Result};

/// A target that answers later than this has failed.
const LIMIT: Duration = Duration::from_secs(30);

/// All targets that are configured.
///
/// Errors: those of their secrets and addresses.
pub(crate) fn targets(notifications: &Notifications) -> Result<Targets> {
    let mut targets = Targets::new();
    for (name, entry) in &notifications.targets {
        match entry {
            TargetEntry::Smtp(entry) => targets.insert(name, mail(name, entry)?),
            TargetEntry::Webhook { url, headers } => {
                let settings = WebHookSettings {
                    name: name.clone(),
                    url: value(url)?,
                    headers: headers
                        .iter()
                        .map(|(header, source)| Ok((header.clone(), value(source)?)))
                        .collect::<Result<_>>()?,
                    signing_key: None,
                    certificates: Vec::new(),
                    limit: LIMIT,
                };
                targets.insert(name, WebHook::new(settings)?);
            }
            TargetEntry::Ping { url } => {
                let settings = PingSettings {
                    name: name.clone(),
                    url: value(url)?,
                    method: Method::Post,
                    certificates: Vec::new(),
                    limit: LIMIT,
                };
                targets.insert(name, Ping::new(settings)?);
            }
            TargetEntry::Command { run } => {
                let settings = CommandSettings {
                    name: name.clone(),
                    words: run.clone(),
                    limit: LIMIT,
                };
                targets.insert(name, Command::new(settings)?);
            }
        }
    }
    Ok(targets)
}

fn value(source: &ValueSource) -> Result<Secret> {
    match source {
        ValueSource::Plain(text) => Ok(Secret::new(text.clone().into_bytes())),
        ValueSource::Secret(source) => resolve(source),
    }
}

fn mail(name: &str, entry: &SmtpEntry) -> Result<Mail> {
    let (host, port) = address(&entry.server, entry.encryption).ok_or_else(|| {
        let text = format!("\"{}\" is no mail server: write host:port", entry.server);
        Error::new(ErrorKind::Invalid, text)
    })?;
    let settings = MailSettings {
        name: name.to_owned(),
        host,
        port,
        security: match entry.encryption {
            SmtpEncryption::StartTls => MailSecurity::StartTls,
            SmtpEncryption::Tls => MailSecurity::Tls,
            SmtpEncryption::None => MailSecurity::None,
        },
        user: entry.user.clone(),
        password: entry.password.as_ref().map(resolve).transpose()?,
        from: entry.from.clone(),
        to: entry.to.clone(),
        certificates: Vec::new(),
        limit: LIMIT,
    };
    Ok(Mail::new(settings)?)
}

fn address(server: &str, encryption: SmtpEncryption) -> Option<(String, u16)> {
    if let Some((host, port)) = server.rsplit_once(':')
        && !host.is_empty()
    {
        return Some((host.to_owned(), port.parse().ok()?));
    }
    let port = match encryption {
        SmtpEncryption::StartTls => 587,
        SmtpEncryption::Tls => 465,
        SmtpEncryption::None => 25,
    };
    (!server.is_empty()).then(|| (server.to_owned(), port))
}
