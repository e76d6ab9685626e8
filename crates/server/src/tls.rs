//! Which certificate a server shows, and when it shows another.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use jiff::Timestamp;
use lifeboat_model::ErrorKind;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::authority::{Authority, RENEWED_AFTER, names};
use crate::error::{Error, Result};

/// How a server encrypts.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// With an authority of its own in a folder, made at the first start.
    Own {
        /// The folder: `ca.pem` in it is to be trusted.
        folder: PathBuf,
        /// Names and addresses besides those of this machine.
        names: Vec<String>,
    },
    /// With files of PEM that somebody else keeps fresh.
    Files {
        /// The certificate, then those that sign it.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// Not at all: only on loopback.
    None,
}

/// What a server shows to those who connect.
pub(crate) struct Shown {
    source: Source,
    config: RwLock<Arc<ServerConfig>>,
    made: Mutex<Mark>,
}

enum Source {
    Own(Box<Authority>, Vec<String>),
    Files(PathBuf, PathBuf),
}

/// When it was made, or how the files looked.
#[derive(Clone, Debug, PartialEq)]
enum Mark {
    At(Timestamp),
    Files(Vec<(Option<SystemTime>, u64)>),
}

impl Shown {
    /// What an encryption shows; nothing for none.
    pub(crate) fn open(encryption: &Encryption, now: Timestamp) -> Result<Option<Self>> {
        let source = match encryption {
            Encryption::None => return Ok(None),
            Encryption::Files { certificate, key } => {
                Source::Files(certificate.clone(), key.clone())
            }
            Encryption::Own { folder, names: own } => {
                Source::Own(Box::new(Authority::open(folder, now)?), names(own))
            }
        };
        let mark = source.mark(now);
        let config = RwLock::new(source.config(now)?);
        Ok(Some(Self {
            source,
            config,
            made: Mutex::new(mark),
        }))
    }

    /// What to show now.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&config)
    }

    /// The fingerprint of the own authority.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        match &self.source {
            Source::Own(authority, _) => Some(authority.fingerprint()),
            Source::Files(..) => None,
        }
    }

    /// Shows another certificate if the files changed or the own one is old. What does not work
    /// changes nothing, and is told once.
    pub(crate) fn refresh(&self, now: Timestamp) -> Result<bool> {
        let mark = self.source.mark(now);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = match (&*made, &mark) {
            (Mark::At(made), Mark::At(now)) => now.duration_since(*made) < RENEWED_AFTER,
            (made, mark) => made == mark,
        };
        if is_fresh {
            return Ok(false);
        }
        *made = mark;
        let config = self.source.config(now)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(true)
    }
}

impl Source {
    fn mark(&self, now: Timestamp) -> Mark {
        match self {
            Self::Own(..) => Mark::At(now),
            Self::Files(certificate, key) => Mark::Files(
                [certificate, key]
                    .iter()
                    .map(|path| match std::fs::metadata(path) {
                        Ok(found) => (found.modified().ok(), found.len()),
                        Err(_) => (None, 0),
                    })
                    .collect(),
            ),
        }
    }

    fn config(&self, now: Timestamp) -> Result<Arc<ServerConfig>> {
        let (chain, key) = match self {
            Self::Own(authority, names) => {
                let (certificate, key) = authority.certify(names, now)?;
                (vec![certificate], key)
            }
            Self::Files(certificate, key) => {
                let bad = |path: &PathBuf, error: rustls::pki_types::pem::Error| {
                    let text = format!("cannot read {}: {error}", path.display());
                    Error::new(ErrorKind::Invalid, text)
                };
                let chain = CertificateDer::pem_file_iter(certificate);
                let chain = chain.and_then(Iterator::collect);
                let chain: Vec<_> = chain.map_err(|error| bad(certificate, error))?;
                if chain.is_empty() {
                    let text = format!("{} holds no certificate", certificate.display());
                    return Err(Error::new(ErrorKind::Invalid, text));
                }
                let found = PrivateKeyDer::from_pem_file(key);
                (chain, found.map_err(|error| bad(key, error))?)
            }
        };
        let refused = |error: rustls::Error| {
            let text = format!("the certificate cannot be used: {error}");
            Error::new(ErrorKind::Invalid, text)
        };
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(chain, key);
        let mut config = config.map_err(refused)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}
