//! A certificate authority of one's own: its key stays in a file that only its owner reads, and
//! its certificate is what people trust.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::ErrorKind;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::visitor::digits;

/// The authority's key, below the folder.
const KEY: &str = "ca-key.pem";
/// Its certificate.
const CERTIFICATE: &str = "ca.pem";
/// The authority lasts ten years.
const AUTHORITY_DAYS: i64 = 3_650;
/// A server's certificate lasts so long.
const SERVER_DAYS: i64 = 90;
/// And is made anew when it is so old.
pub(crate) const RENEWED_AFTER: SignedDuration = SignedDuration::from_hours(24 * 30);

/// Makes certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate with its key.
pub(crate) type Certified = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    /// Opens the authority of a folder; makes it if there is none.
    pub(crate) fn open(folder: &Path, now: Timestamp) -> Result<Self> {
        let doing = format!("cannot make the folder {}", folder.display());
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(folder);
        made.map_err(|error| Error::of_io(doing, &error))?;
        let key = key(&folder.join(KEY))?;
        let params = params(&key, now)?;
        let path = folder.join(CERTIFICATE);
        let certificate = match fs::read(&path) {
            Ok(pem) => read_certificate(&path, &pem)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = params.self_signed(&key).map_err(|error| broken(&error))?;
                write(&path, made.pem().as_bytes(), 0o644)?;
                made.der().clone()
            }
            Err(error) => {
                let doing = format!("cannot read {}", path.display());
                return Err(Error::of_io(doing, &error));
            }
        };
        let issuer = Issuer::new(params, key);
        Ok(Self {
            issuer,
            certificate,
        })
    }

    /// Makes a certificate for names and addresses.
    pub(crate) fn certify(&self, names: &[String], now: Timestamp) -> Result<Certified> {
        let key = KeyPair::generate().map_err(|error| broken(&error))?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(|error| {
            let text = format!(
                "no certificate can be made for {}: {error}",
                names.join(", ")
            );
            Error::new(ErrorKind::Invalid, text)
        })?;
        params
            .distinguished_name
            .push(DnType::CommonName, "lifeboat");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        lasts(&mut params, now, SERVER_DAYS);
        let made = params
            .signed_by(&key, &self.issuer)
            .map_err(|error| broken(&error))?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((made.der().clone(), key.into()))
    }

    /// The SHA-256 of the authority's certificate, as tools print it.
    pub(crate) fn fingerprint(&self) -> String {
        let digits = digits(&Sha256::digest(&self.certificate)).to_uppercase();
        let pairs: Vec<_> = digits
            .as_bytes()
            .chunks(2)
            .map(String::from_utf8_lossy)
            .collect();
        pairs.join(":")
    }
}

/// Names and addresses of this machine, with those that were configured.
pub(crate) fn names(configured: &[String]) -> Vec<String> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let here = ["localhost", "127.0.0.1", "::1", host.trim()];
    let mut names: Vec<String> = here.map(str::to_owned).into();
    names.extend(configured.iter().cloned());
    names.retain(|name| is_name(name));
    names.sort();
    names.dedup();
    names
}

fn is_name(name: &str) -> bool {
    let is_fine = |letter: char| letter.is_ascii_alphanumeric() || ".-*".contains(letter);
    name.parse::<IpAddr>().is_ok() || !name.is_empty() && name.chars().all(is_fine)
}

fn key(path: &Path) -> Result<KeyPair> {
    let bad = |what: &str| {
        let text = format!("{}: {what}; move it away to make another", path.display());
        Error::new(ErrorKind::Corrupt, text)
    };
    match fs::read_to_string(path) {
        Ok(pem) => KeyPair::from_pem(&pem).map_err(|error| bad(&error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate().map_err(|error| broken(&error))?;
            write(path, key.serialize_pem().as_bytes(), 0o600)?;
            Ok(key)
        }
        Err(error) => {
            let doing = format!("cannot read {}", path.display());
            Err(Error::of_io(doing, &error))
        }
    }
}

/// The same for the same key, so that certificates find their authority again.
fn params(key: &KeyPair, now: Timestamp) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).map_err(|error| broken(&error))?;
    let name = digits(&Sha256::digest(key.public_key_raw()));
    let name = format!("lifeboat authority {}", &name[..8]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    lasts(&mut params, now, AUTHORITY_DAYS);
    Ok(params)
}

/// Year, month and day so many days from now.
fn day(now: Timestamp, days: i64) -> (i32, u8, u8) {
    let at = now + SignedDuration::from_hours(24 * days);
    let date = at.to_zoned(TimeZone::UTC).date();
    let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
    (i32::from(date.year()), month, day)
}

/// Sets from when to when, in days from now.
fn lasts(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let (year, month, first) = day(now, -1);
    params.not_before = date_time_ymd(year, month, first);
    let (year, month, last) = day(now, days);
    params.not_after = date_time_ymd(year, month, last);
}

fn read_certificate(path: &Path, pem: &[u8]) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem).map_err(|error| {
        let text = format!(
            "{}: {error}; remove it to have it made anew",
            path.display()
        );
        Error::new(ErrorKind::Corrupt, text)
    })
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let written = || {
        let next = path.with_extension("new");
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&next)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&next, path)
    };
    let doing = format!("cannot write {}", path.display());
    written().map_err(|error| Error::of_io(doing, &error))
}

fn broken(error: &rcgen::Error) -> Error {
    let text = format!("cannot make a certificate: {error}");
    Error::new(ErrorKind::Unsupported, text)
}
