//! Ways to people, from what is configured; secrets are resolved here, for each notice anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_config::{
    PingEntry, PingFailure as FailureEntry, PingMethod, SmtpEncryption, SmtpEntry, TargetEntry,
    TargetKind, ValueSource, WebhookEntry, nearest,
};
use lifeboat_model::{ErrorKind, Secret};
use lifeboat_notify::{
    Command, CommandSettings, Mail, MailSecurity, MailSettings, Method, Notice, Ping, PingFailure,
    PingSettings, Transport, WebHook, WebHookSettings,
};

use crate::configuration::resolve;
use crate::error::{Error, Result};

/// The configured targets by name.
pub(crate) type Entries = Arc<BTreeMap<String, TargetEntry>>;

/// Delivers a notice to the target that it names.
///
/// Errors: `NotFound` for a target that is not configured, those of its secrets and certificates,
/// and those of the way.
pub(crate) fn send(entries: &BTreeMap<String, TargetEntry>, notice: &Notice) -> Result<()> {
    let name = &notice.target;
    let Some(entry) = entries.get(name) else {
        let names = entries.keys().map(String::as_str);
        let next = match nearest(name, names.clone()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if entries.is_empty() => "write one into [notifications.targets]".to_owned(),
            None => format!("there are {}", names.collect::<Vec<_>>().join(", ")),
        };
        let text = format!("there is no target \"{name}\" of notices; {next}");
        return Err(Error::new(ErrorKind::NotFound, text));
    };
    Ok(transport(name, entry)?.send(notice)?)
}

fn transport(name: &str, entry: &TargetEntry) -> Result<Box<dyn Transport>> {
    let limit = entry.time_limit;
    let name = name.to_owned();
    Ok(match &entry.kind {
        TargetKind::Smtp(entry) => Box::new(mail(name, entry, limit)?),
        TargetKind::Webhook(entry) => Box::new(web_hook(name, entry, limit)?),
        TargetKind::Ping(entry) => Box::new(ping(name, entry, limit)?),
        TargetKind::Command(words) => Box::new(Command::new(CommandSettings {
            name,
            words: words.clone(),
            limit,
        })?),
    })
}

fn value(source: &ValueSource) -> Result<Secret> {
    match source {
        ValueSource::Plain(text) => Ok(Secret::new(text.clone().into_bytes())),
        ValueSource::Secret(source) => resolve(source),
    }
}

fn certificates(target: &str, file: Option<&Path>) -> Result<Vec<u8>> {
    let Some(file) = file else {
        return Ok(Vec::new());
    };
    std::fs::read(file).map_err(|error| {
        let text = format!(
            "cannot read the certificates of the target \"{target}\": {}: {error}; \
             check ca_file",
            file.display()
        );
        Error::new(ErrorKind::of_io(&error), text)
    })
}

fn mail(name: String, entry: &SmtpEntry, limit: Duration) -> Result<Mail> {
    let settings = MailSettings {
        certificates: certificates(&name, entry.ca_file.as_deref())?,
        name,
        host: entry.host.clone(),
        port: entry.port,
        security: match entry.encryption {
            SmtpEncryption::StartTls => MailSecurity::StartTls,
            SmtpEncryption::Tls => MailSecurity::Tls,
            SmtpEncryption::None => MailSecurity::None,
        },
        user: entry.user.clone(),
        password: entry.password.as_ref().map(resolve).transpose()?,
        from: entry.from.clone(),
        to: entry.to.clone(),
        limit,
    };
    Ok(Mail::new(settings)?)
}

fn web_hook(name: String, entry: &WebhookEntry, limit: Duration) -> Result<WebHook> {
    let headers = entry.headers.iter();
    let headers = headers.map(|(header, source)| Ok((header.clone(), value(source)?)));
    let settings = WebHookSettings {
        certificates: certificates(&name, entry.ca_file.as_deref())?,
        name,
        url: value(&entry.url)?,
        headers: headers.collect::<Result<_>>()?,
        signing_key: entry.signing_key.as_ref().map(resolve).transpose()?,
        limit,
    };
    Ok(WebHook::new(settings)?)
}

fn ping(name: String, entry: &PingEntry, limit: Duration) -> Result<Ping> {
    let settings = PingSettings {
        certificates: certificates(&name, entry.ca_file.as_deref())?,
        name,
        url: value(&entry.url)?,
        method: match entry.method {
            PingMethod::Post => Method::Post,
            PingMethod::Get => Method::Get,
            PingMethod::Head => Method::Head,
        },
        failure: match entry.failure {
            FailureEntry::Fail => PingFailure::Word,
            FailureEntry::ExitCode => PingFailure::ExitCode,
            FailureEntry::None => PingFailure::Silence,
        },
        limit,
    };
    Ok(Ping::new(settings)?)
}
