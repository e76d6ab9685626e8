//! Certificates, and connections under TLS.
//!
//! Folders hold the files that QEMU's `tls-creds-x509` expects: `ca-cert.pem`, `ca-crl.pem`
//! (optional), `server-cert.pem` and `server-key.pem`, `client-cert.pem` and `client-key.pem`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_model::ErrorKind;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::{Endpoint, Error, Result};

mod split;

pub(crate) use split::accept;

const DOING: &str = "reading certificates in";
/// Largest file of certificates, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a client shows and whom it trusts.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: Option<String>,
}

/// What a server shows and whom it lets in.
#[derive(Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
}

impl TlsClient {
    /// Trusts the folder's `ca-cert.pem`; shows `client-cert.pem` where there is one.
    ///
    /// The server's certificate must be for `name`; without one, for the address's host, or
    /// for `localhost` behind a unix socket.
    ///
    /// Errors: `NotFound`, `Denied` or `Invalid` for a file that is missing, unreadable or broken.
    pub fn from_folder(folder: &Path, name: Option<&str>) -> Result<Self> {
        let files = Files(folder);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(files.roots()?, provider.clone())
                .with_crls(files.revoked()?)
                .allow_unknown_revocation_status()
                .build()
                .map_err(|cause| files.broken("ca-cert.pem", cause))?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| files.broken("", cause))?
            .with_webpki_verifier(verifier);
        let mut config = match files.has("client-cert.pem") {
            true => {
                let (chain, key) = files.identity("client")?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|cause| files.broken("client-cert.pem", cause))?
            }
            false => builder.with_no_client_auth(),
        };
        config.enable_sni = true;
        Ok(Self {
            config: Arc::new(config),
            name: name.map(str::to_owned),
        })
    }

    /// Begins a connection's TLS: what is to be handed the connection's bytes.
    pub(crate) fn begin(&self, endpoint: &Endpoint) -> Result<rustls::ClientConnection> {
        let name = match (&self.name, endpoint) {
            (Some(name), _) => name.clone(),
            (None, Endpoint::Tcp { host, .. }) => host.clone(),
            (None, Endpoint::Unix(_)) => "localhost".to_owned(),
        };
        let refused = |text: &str| {
            Error::new(ErrorKind::Invalid, "beginning TLS with", &name).seen(text.to_owned())
        };
        let server = ServerName::try_from(name.clone())
            .map_err(|_| refused("a certificate cannot be for this name"))?;
        rustls::ClientConnection::new(Arc::clone(&self.config), server)
            .map_err(|cause| refused("the connection does not begin").because(cause))
    }
}

impl TlsServer {
    /// Shows the folder's `server-cert.pem`; lets in clients whose certificate `ca-cert.pem`
    /// signed, and nobody else.
    ///
    /// Errors: as of [`TlsClient::from_folder`].
    pub fn mutual(folder: &Path) -> Result<Self> {
        let files = Files(folder);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(files.roots()?, provider)
            .with_crls(files.revoked()?)
            .allow_unknown_revocation_status()
            .build()
            .map_err(|cause| files.broken("ca-cert.pem", cause))?;
        Self::of(&files, |builder| {
            builder.with_client_cert_verifier(verifier)
        })
    }

    /// Shows the folder's `server-cert.pem` and asks clients for none.
    ///
    /// Errors: as of [`TlsClient::from_folder`].
    pub fn server_only(folder: &Path) -> Result<Self> {
        Self::of(&Files(folder), |builder| builder.with_no_client_auth())
    }

    fn of(
        files: &Files<'_>,
        clients: impl FnOnce(
            rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>,
        )
            -> rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    ) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|cause| files.broken("", cause))?;
        let (chain, key) = files.identity("server")?;
        let config = clients(builder)
            .with_single_cert(chain, key)
            .map_err(|cause| files.broken("server-cert.pem", cause))?;
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

/// The folder of certificates.
struct Files<'a>(&'a Path);

impl Files<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path(name);
        let failed = |cause| Error::io(DOING, path.display(), cause);
        if fs::metadata(&path).map_err(failed)?.len() > FILE_BYTES_MAX {
            return Err(Error::new(ErrorKind::Invalid, DOING, path.display())
                .seen("it has more than 4 MiB: this is no file of certificates"));
        }
        fs::read(&path).map_err(failed)
    }

    fn broken(&self, name: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
        let seen = cause.to_string();
        Error::new(ErrorKind::Invalid, DOING, self.path(name).display())
            .seen(seen)
            .because(cause)
    }

    fn certificates(&self, name: &str) -> Result<Vec<CertificateDer<'static>>> {
        let text = self.read(name)?;
        let found =
            CertificateDer::pem_slice_iter(&text).collect::<std::result::Result<Vec<_>, _>>();
        let found = found.map_err(|cause| self.broken(name, cause))?;
        match found.is_empty() {
            false => Ok(found),
            true => Err(
                Error::new(ErrorKind::Invalid, DOING, self.path(name).display())
                    .seen("it holds no certificate"),
            ),
        }
    }

    fn roots(&self) -> Result<Arc<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates("ca-cert.pem")? {
            roots
                .add(certificate)
                .map_err(|cause| self.broken("ca-cert.pem", cause))?;
        }
        Ok(Arc::new(roots))
    }

    fn revoked(&self) -> Result<Vec<CertificateRevocationListDer<'static>>> {
        if !self.has("ca-crl.pem") {
            return Ok(Vec::new());
        }
        let text = self.read("ca-crl.pem")?;
        CertificateRevocationListDer::pem_slice_iter(&text)
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|cause| self.broken("ca-crl.pem", cause))
    }

    /// The chain and the key of one side.
    fn identity(
        &self,
        side: &str,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let chain = self.certificates(&format!("{side}-cert.pem"))?;
        let name = format!("{side}-key.pem");
        let key = PrivateKeyDer::from_pem_slice(&self.read(&name)?)
            .map_err(|cause| self.broken(&name, cause))?;
        Ok((chain, key))
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsClient({:?})", self.name)
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsServer")
    }
}
