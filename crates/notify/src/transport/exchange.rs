//! HTTP as all targets on the web use it: one request, one status, no redirects.

use std::time::Duration;

use lifeboat_model::{ErrorKind, Secret};
use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, http};

use crate::{Error, Result};

/// How large an answer's headers may be, in bytes.
const HEADERS_BYTES_MAX: usize = 64 << 10;

/// A place on the web that takes requests.
pub(super) struct Exchange {
    agent: Agent,
    target: String,
    host: String,
    limit: Duration,
}

impl Exchange {
    /// Prepares for one address, which stays secret.
    ///
    /// `certificates` are trusted beside the system's, in PEM.
    ///
    /// Errors: `Invalid` for an address that is not `http` or `https`, or broken certificates.
    pub(super) fn new(
        target: &str,
        address: &Secret,
        limit: Duration,
        certificates: &[u8],
    ) -> Result<Self> {
        let refuse = |text: &str| {
            let text = format!("the target \"{target}\": {text}");
            Error::new(ErrorKind::Invalid, text)
        };
        let parsed = text_of(address).and_then(|text| text.parse::<Uri>().ok());
        let usable = parsed.as_ref().and_then(|uri| {
            let scheme = uri
                .scheme_str()
                .filter(|it| matches!(*it, "http" | "https"))?;
            Some((scheme, uri.host()?))
        });
        let Some((scheme, host)) = usable else {
            return Err(refuse("its address is not one of http or https"));
        };
        let mut config = Agent::config_builder()
            .timeout_global(Some(limit))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(HEADERS_BYTES_MAX)
            .user_agent("lifeboat");
        if scheme == "https" {
            let roots = roots(certificates).ok_or_else(|| refuse("its certificates are no PEM"))?;
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            agent: config.build().into(),
            target: target.to_owned(),
            host: host.to_owned(),
            limit,
        })
    }

    pub(super) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Judges what came of a request: any status from 200 to 299 is a delivery.
    pub(super) fn judge(
        &self,
        result: std::result::Result<http::Response<Body>, ureq::Error>,
    ) -> Result<()> {
        let (kind, seen) = match result {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => of_status(response.status().as_u16()),
            Err(error) => of_error(&error, self.limit),
        };
        Err(self.error(kind, &seen))
    }

    pub(super) fn error(&self, kind: ErrorKind, seen: &str) -> Error {
        Error::sending(kind, &self.target, &self.host, seen)
    }
}

/// A secret that is text.
pub(super) fn text_of(secret: &Secret) -> Option<&str> {
    std::str::from_utf8(secret.expose()).ok().map(str::trim)
}

fn roots(certificates: &[u8]) -> Option<RootCerts> {
    // Stores that cannot be read are left out: what they would prove is then refused.
    let system = rustls_native_certs::load_native_certs().certs;
    let mut all: Vec<Certificate<'static>> = system
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    for item in parse_pem(certificates) {
        if let PemItem::Certificate(certificate) = item.ok()? {
            all.push(certificate);
        }
    }
    Some(RootCerts::new_with_certs(&all))
}

fn of_status(status: u16) -> (ErrorKind, String) {
    let kind = match status {
        401 | 403 | 407 => ErrorKind::Denied,
        404 | 410 => ErrorKind::NotFound,
        408 | 423 | 425 | 429 => ErrorKind::Busy,
        500.. => ErrorKind::Unreachable,
        _ => ErrorKind::Invalid,
    };
    let seen = match status {
        300..=399 => format!("it answered {status}, and redirects are not followed"),
        _ => format!("it answered {status}"),
    };
    (kind, seen)
}

/// Words of our own: those of the library could hold the address.
fn of_error(error: &ureq::Error, limit: Duration) -> (ErrorKind, String) {
    use ureq::Error as Web;
    let unreachable = |seen: &str| (ErrorKind::Unreachable, seen.to_owned());
    match error {
        Web::Timeout(_) => unreachable(&format!("no answer within {} s", limit.as_secs_f64())),
        Web::HostNotFound => unreachable("its name is not known"),
        Web::Io(error) => (ErrorKind::of_io(error), error.to_string()),
        Web::Rustls(error) => unreachable(&format!("TLS: {error}")),
        Web::Tls(seen) => unreachable(&format!("TLS: {seen}")),
        Web::ConnectProxyFailed(_) | Web::InvalidProxyUrl => unreachable("the proxy refused"),
        Web::Protocol(_) => unreachable("its answer is not HTTP, or not whole"),
        Web::BadUri(_) | Web::Http(_) => {
            (ErrorKind::Invalid, "its address cannot be used".to_owned())
        }
        _ => unreachable("the connection broke off"),
    }
}
