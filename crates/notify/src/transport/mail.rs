//! Notices by mail.

use std::time::{Duration, SystemTime};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport as _};
use lifeboat_model::{ErrorKind, Secret};
use sha2::{Digest, Sha256};

use super::Transport;
use super::exchange::text_of;
use crate::{Error, Notice, Result};

/// How the way to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MailSecurity {
    /// Plain at first, then TLS; refused when the server cannot.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None.
    None,
}

/// The mail server, and who writes to whom.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// The target's configured name.
    pub name: String,
    /// The mail server.
    pub host: String,
    /// Its port; usual are 587 (STARTTLS), 465 (TLS) and 25.
    pub port: u16,
    /// How the way is protected.
    pub security: MailSecurity,
    /// The user, when the server wants one.
    pub user: Option<String>,
    /// Their password.
    pub password: Option<Secret>,
    /// The sender, as in `lifeboat <backup@example.org>`.
    pub from: String,
    /// The receivers.
    pub to: Vec<String>,
    /// Trusted beside the system's certificates, in PEM.
    pub certificates: Vec<u8>,
    /// How long each answer of the server may take.
    pub limit: Duration,
}

/// Sends mail by SMTP: plain text with an HTML alternative.
pub struct Mail {
    name: String,
    host: String,
    server: SmtpTransport,
    from: Mailbox,
    to: Vec<Mailbox>,
    password: Option<Secret>,
}

impl Mail {
    /// Checks the settings; nothing is asked of the server yet.
    ///
    /// Errors: `Invalid` for addresses that are none, certificates that are none, and for a
    /// password that would go over a network in the clear.
    pub fn new(settings: MailSettings) -> Result<Self> {
        let refuse = |text: String| {
            let text = format!("the target \"{}\": {text}", settings.name);
            Error::new(ErrorKind::Invalid, text)
        };
        let mailbox = |text: &String| {
            let parsed = text.parse::<Mailbox>();
            parsed.map_err(|_| refuse(format!("{text:?} is no address of mail")))
        };
        let is_near = matches!(settings.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        let is_plain = settings.security == MailSecurity::None;
        if is_plain && settings.password.is_some() && !is_near {
            let text = "the password would be sent in the clear; use starttls or tls";
            return Err(refuse(text.to_owned()));
        }
        if settings.to.is_empty() {
            return Err(refuse("it has no receivers".to_owned()));
        }
        let mut server = SmtpTransport::builder_dangerous(&settings.host)
            .port(settings.port)
            .timeout(Some(settings.limit));
        if !is_plain {
            let tls = tls(&settings).map_err(|()| refuse("its certificates are no PEM".into()))?;
            server = server.tls(match settings.security {
                MailSecurity::Tls => Tls::Wrapper(tls),
                MailSecurity::StartTls | MailSecurity::None => Tls::Required(tls),
            });
        }
        if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
            let password =
                text_of(password).ok_or_else(|| refuse("its password is no text".into()))?;
            server = server.credentials(Credentials::new(user.clone(), password.to_owned()));
        }
        Ok(Self {
            from: mailbox(&settings.from)?,
            to: settings.to.iter().map(mailbox).collect::<Result<_>>()?,
            server: server.build(),
            name: settings.name,
            host: settings.host,
            password: settings.password,
        })
    }

    fn message(&self, notice: &Notice) -> std::result::Result<Message, lettre::error::Error> {
        let domain = self.from.email.domain();
        let header = |name: &'static str, value: String| {
            HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
        };
        let mut message = Message::builder()
            .from(self.from.clone())
            .subject(notice.title())
            .date(SystemTime::from(notice.at))
            .message_id(Some(format!(
                "<{}.{}@{domain}>",
                notice.id,
                digits(&notice.target)
            )))
            .raw_header(header("List-Id", format!("<notices.lifeboat.{domain}>")))
            .raw_header(header("Auto-Submitted", "auto-generated".to_owned()));
        for receiver in &self.to {
            message = message.to(receiver.clone());
        }
        if let Some(item) = notice.items().first() {
            // All about one condition becomes one conversation.
            let thread = digits(&format!("{} {}", item.condition.key, item.condition.since));
            message = message.references(format!("<condition.{thread}@{domain}>"));
        }
        message.multipart(MultiPart::alternative_plain_html(
            notice.plain(),
            notice.html(),
        ))
    }

    fn error(&self, error: &lettre::transport::smtp::Error) -> Error {
        let code = error.status().map(u16::from);
        let kind = match code {
            Some(530 | 534 | 535 | 538) => ErrorKind::Denied,
            Some(500..=599) => ErrorKind::Invalid,
            Some(_) => ErrorKind::Busy,
            None if error.is_client() => ErrorKind::Unsupported,
            None => ErrorKind::Unreachable,
        };
        let mut seen: String = error.to_string().replace(char::is_control, " ");
        if let Some(password) = self.password.as_ref().and_then(text_of) {
            seen = seen.replace(password, "***");
        }
        Error::sending(kind, &self.name, &self.host, &seen)
    }
}

impl Transport for Mail {
    fn send(&self, notice: &Notice) -> Result<()> {
        let message = self.message(notice).map_err(|error| {
            Error::sending(
                ErrorKind::Invalid,
                &self.name,
                &self.host,
                &error.to_string(),
            )
        })?;
        self.server
            .send(&message)
            .map_err(|error| self.error(&error))?;
        Ok(())
    }
}

fn tls(settings: &MailSettings) -> std::result::Result<TlsParameters, ()> {
    let mut tls = TlsParameters::builder(settings.host.clone());
    if !settings.certificates.is_empty() {
        let certificate = Certificate::from_pem(&settings.certificates).map_err(|_| ())?;
        tls = tls.add_root_certificate(certificate);
    }
    tls.build().map_err(|_| ())
}

/// A short name made of a text: letters that fit into any header.
fn digits(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let digits = digest[..8].iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}
