//! Notices as JSON to an address of the operator.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use lifeboat_model::{ErrorKind, Secret};
use serde::Serialize;
use sha2::Sha256;
use ureq::http::{HeaderName, HeaderValue};

use super::Transport;
use super::exchange::{Exchange, text_of};
use crate::{Error, Notice, Result};

/// Where a web hook is, and what it wants to see.
#[derive(Clone, Debug)]
pub struct WebHookSettings {
    /// The target's configured name.
    pub name: String,
    /// The address; secret, because many have a token in it.
    pub url: Secret,
    /// Headers to send along.
    pub headers: Vec<(String, Secret)>,
    /// Signs the body when it is given.
    pub signing_key: Option<Secret>,
    /// Trusted beside the system's certificates, in PEM.
    pub certificates: Vec<u8>,
    /// How long all of it may take.
    pub limit: Duration,
}

/// Posts notices as JSON.
///
/// `Idempotency-Key` is the notice's id. `X-Lifeboat-Signature` is `sha256=` and the HMAC-SHA256
/// of the body in hexadecimal digits, when there is a key.
pub struct WebHook {
    exchange: Exchange,
    url: Secret,
    headers: Vec<(HeaderName, HeaderValue)>,
    signing_key: Option<Secret>,
}

/// The notice, and its texts for receivers that only show them.
#[derive(Serialize)]
struct Posted<'a> {
    version: u8,
    title: String,
    text: String,
    #[serde(flatten)]
    notice: &'a Notice,
}

impl WebHook {
    /// Checks the settings.
    ///
    /// Errors: `Invalid`, without the address or the headers' values.
    pub fn new(settings: WebHookSettings) -> Result<Self> {
        let WebHookSettings {
            name,
            url,
            headers,
            signing_key,
            certificates,
            limit,
        } = settings;
        let exchange = Exchange::new(&name, &url, limit, &certificates)?;
        let headers = headers.iter().map(|(header, value)| {
            let parsed = HeaderName::from_bytes(header.as_bytes()).ok();
            let value = text_of(value).and_then(|value| HeaderValue::from_str(value).ok());
            parsed.zip(value).ok_or_else(|| {
                let shown: String = header.escape_debug().take(80).collect();
                let text = format!("the target \"{name}\": \"{shown}\" is no usable header");
                Error::new(ErrorKind::Invalid, text)
            })
        });
        Ok(Self {
            headers: headers.collect::<Result<_>>()?,
            exchange,
            url,
            signing_key,
        })
    }
}

impl Transport for WebHook {
    fn send(&self, notice: &Notice) -> Result<()> {
        let posted = Posted {
            version: 1,
            title: notice.title(),
            text: notice.plain(),
            notice,
        };
        let body = serde_json::to_vec(&posted)
            .map_err(|error| self.exchange.error(ErrorKind::Invalid, &error.to_string()))?;
        let url = text_of(&self.url).unwrap_or_default();
        let mut request = self.exchange.agent().post(url);
        request = request
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", &notice.id);
        if let Some(key) = &self.signing_key {
            request = request.header("X-Lifeboat-Signature", signature(key, &body));
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        self.exchange.judge(request.send(&body[..]))
    }
}

fn signature(key: &Secret, body: &[u8]) -> String {
    let mut code = Hmac::<Sha256>::new_from_slice(key.expose())
        .expect("HMAC takes keys of every length, by its definition");
    code.update(body);
    let digest = code.finalize().into_bytes();
    let digits = digest.iter().map(|byte| format!("{byte:02x}"));
    format!("sha256={}", digits.collect::<String>())
}
