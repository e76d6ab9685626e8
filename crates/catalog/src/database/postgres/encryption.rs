//! Whether a server is spoken to in secret, and who must vouch for it.
//!
//! `sslmode` of the address decides: `require`, `verify-ca` and `verify-full` all mean that the
//! certificate and the name in it are proved, since encryption towards anybody protects nothing.
//!
//! Source: PostgreSQL's documentation, "Connection URIs", `sslmode` and `sslrootcert`.

use std::path::Path;
use std::sync::Arc;

use lifeboat_model::ErrorKind;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Error, Result};

/// Takes the words on encryption out of an address.
///
/// Errors: `Invalid` for a mode that is none; `NotFound`, `Denied`, `Corrupt` of the file of
/// roots.
pub(super) fn wanted(url: &str) -> Result<(String, Option<MakeRustlsConnect>)> {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut roots, mut rest) = ("", None, Vec::new());
    for pair in query.split('&').filter(|it| !it.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = value,
            Some(("sslrootcert", value)) => roots = Some(decoded(value)),
            _ => rest.push(pair),
        }
    }
    let is_wanted = match mode {
        "require" | "verify-ca" | "verify-full" => true,
        "disable" | "prefer" | "allow" => false,
        // Whoever names a root wants it asked.
        "" => roots.is_some(),
        _ => {
            let text = format!(
                "the catalog's address has sslmode={mode}: write disable, require or verify-full"
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
    };
    let url = match rest.is_empty() {
        true => place.to_owned(),
        false => format!("{place}?{}", rest.join("&")),
    };
    if !is_wanted {
        return Ok((url, None));
    }
    let roots = match roots.as_deref() {
        None | Some("system") => system_roots()?,
        Some(path) => roots_of(Path::new(path))?,
    };
    Ok((url, Some(believing(roots)?)))
}

fn believing(roots: RootCertStore) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| {
        Error::new(ErrorKind::Unsupported, "cannot encrypt a connection").with_source(error)
    })?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (known, _) = roots.add_parsable_certificates(found.certs);
    match known {
        0 => Err(Error::new(
            ErrorKind::NotFound,
            "this computer believes no certificate: install ca-certificates, or name a file by \
             sslrootcert in the catalog's address",
        )),
        _ => Ok(roots),
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore> {
    let doing = || format!("cannot read the certificates {}", path.display());
    let text = std::fs::read(path)
        .map_err(|error| Error::new(ErrorKind::of_io(&error), doing()).with_source(error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let damaged = |error| Error::corrupt(doing()).with_source(error);
        let certificate = certificate.map_err(damaged)?;
        let added = roots.add(certificate);
        added.map_err(|error| Error::corrupt(doing()).with_source(error))?;
    }
    match roots.is_empty() {
        true => Err(Error::corrupt(format!("{}: there is none in it", doing()))),
        false => Ok(roots),
    }
}

/// A value of an address: `%2F` is a slash.
fn decoded(value: &str) -> String {
    let (mut bytes, mut at) = (Vec::new(), 0);
    while let Some(byte) = value.as_bytes().get(at) {
        let digits = value.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let meant = digits.and_then(|it| u8::from_str_radix(it, 16).ok());
        bytes.push(meant.unwrap_or(*byte));
        at += if meant.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
