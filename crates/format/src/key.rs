//! Key files: the master key sealed under a password.
//!
//! Source: restic's design document, "Keys, Encryption and MAC"; restic-format 5.1.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use lifeboat_model::{Entropy, ErrorKind, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::json::GoStyle;
use crate::{Error, GoTime, MasterKey, Result, SEAL_OVERHEAD};

/// restic's salt length; another one is refused.
const SALT_BYTES: usize = 64;

/// Most memory that a key file may ask for: a hostile one could ask for 1 TiB.
const SCRYPT_BYTES_MAX: u64 = 256 << 20;

/// Most memory times rounds that a key file may ask for: some ten seconds. restic calibrates its
/// keys to half a second, and takes up to p = 6 for that.
const SCRYPT_WORK_MAX: u64 = 4 << 30;

/// Key files are below 1 KiB.
const KEY_FILE_BYTES_MAX: usize = 64 << 10;

/// How hard it is to try a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScryptCost {
    /// Memory cost: a power of two.
    pub n: u32,
    /// Block size.
    pub r: u32,
    /// Rounds.
    pub p: u32,
}

impl Default for ScryptCost {
    /// 2^16, 8, 1: 64 MiB and about 0.2 s; restic's own floor is 2^15.
    fn default() -> Self {
        Self {
            n: 1 << 16,
            r: 8,
            p: 1,
        }
    }
}

impl ScryptCost {
    fn params(self) -> Result<scrypt::Params> {
        let wrong = |kind, what: &str| {
            let Self { n, r, p } = self;
            let doing = format!("the key's scrypt cost N={n} r={r} p={p} is {what}");
            Err(Error::new(kind, doing))
        };
        if !self.n.is_power_of_two() || self.n < 2 || self.r == 0 || self.p == 0 {
            return wrong(ErrorKind::Corrupt, "not valid");
        }
        let memory = u64::from(self.n) * u64::from(self.r);
        let memory = memory.saturating_mul(128);
        if memory > SCRYPT_BYTES_MAX || memory.saturating_mul(self.p.into()) > SCRYPT_WORK_MAX {
            let what = "more than 256 MiB, or 4 GiB in all rounds: refused";
            return wrong(ErrorKind::Unsupported, what);
        }
        let log_n = u8::try_from(self.n.trailing_zeros()).unwrap_or(u8::MAX);
        let params = scrypt::Params::new(log_n, self.r, self.p, 32);
        params.or_else(|_| wrong(ErrorKind::Corrupt, "not valid"))
    }
}

/// Who a key belongs to.
#[derive(Clone, Debug)]
pub struct KeyOwner {
    /// When it is made.
    pub created: Timestamp,
    /// User name.
    pub username: String,
    /// Host name.
    pub hostname: String,
}

/// A key file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFile {
    /// When it was made.
    pub created: GoTime,
    /// User name of whoever made it.
    #[serde(default)]
    pub username: String,
    /// Host name where it was made.
    #[serde(default)]
    pub hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u32,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

/// The master key as it lies in a key file.
#[derive(Serialize, Deserialize)]
struct MasterKeyJson {
    mac: MacJson,
    encrypt: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
struct MacJson {
    k: Zeroizing<String>,
    r: Zeroizing<String>,
}

impl KeyFile {
    /// Seals `master` under `password`; gives the key file and its bytes.
    pub fn create(
        password: &Secret,
        master: &MasterKey,
        owner: &KeyOwner,
        cost: ScryptCost,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Vec<u8>)> {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt);
        let user = derive(password, &salt, cost)?;
        let (encrypt, k, r) = master.parts();
        let encode = |part: &[u8]| Zeroizing::new(STANDARD.encode(part));
        let json = MasterKeyJson {
            mac: MacJson {
                k: encode(k),
                r: encode(r),
            },
            encrypt: encode(encrypt),
        };
        let plain = Zeroizing::new(to_json("the master key", &json)?);
        let data = STANDARD.encode(user.seal(&plain, entropy));
        let file = Self {
            created: owner.created.into(),
            username: owner.username.clone(),
            hostname: owner.hostname.clone(),
            kdf: "scrypt".to_owned(),
            n: cost.n,
            r: cost.r,
            p: cost.p,
            salt: STANDARD.encode(salt),
            data,
        };
        let bytes = file.encode()?;
        Ok((file, bytes))
    }

    /// Reads a key file.
    ///
    /// Errors: `Corrupt`, naming the part that is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > KEY_FILE_BYTES_MAX {
            return Err(Error::corrupt("a key file is larger than 64 KiB"));
        }
        serde_json::from_slice(bytes).map_err(|e| Error::json("a key file", e))
    }

    /// Opens it: gives the master key.
    ///
    /// Errors: `Denied` for a wrong password, `Unsupported` for a cost beyond bounds or another
    /// derivation, `Corrupt`.
    ///
    /// Cost: one scrypt.
    pub fn open(&self, password: &Secret) -> Result<MasterKey> {
        if self.kdf != "scrypt" {
            let doing = "the key file names a key derivation other than scrypt";
            return Err(Error::new(ErrorKind::Unsupported, doing));
        }
        let salt = decode_base64(&self.salt, "the salt")?;
        if salt.len() != SALT_BYTES {
            return Err(Error::corrupt(
                "the salt of a key file does not have 64 bytes",
            ));
        }
        let user = derive(
            password,
            &salt,
            ScryptCost {
                n: self.n,
                r: self.r,
                p: self.p,
            },
        )?;
        let mut sealed = Zeroizing::new(decode_base64(&self.data, "the sealed key")?);
        if sealed.len() < SEAL_OVERHEAD {
            return Err(Error::corrupt("a key file is too short to hold a key"));
        }
        let plain = user
            .unseal_in_place(&mut sealed)
            .map_err(|_| Error::new(ErrorKind::Denied, "the password does not open this key"))?;
        read_master(plain)
    }

    /// What a try of one password costs: bytes of memory times rounds. 4 GiB take some ten seconds.
    pub fn work(&self) -> u64 {
        let parts = [128, self.n.into(), self.r.into(), self.p.into()];
        parts.into_iter().fold(1, u64::saturating_mul)
    }

    /// Writes the file as restic does.
    pub fn encode(&self) -> Result<Vec<u8>> {
        to_json("a key file", self)
    }
}

fn read_master(plain: &[u8]) -> Result<MasterKey> {
    // The cause would quote what it could not read.
    let json: MasterKeyJson = serde_json::from_slice(plain)
        .map_err(|_| Error::corrupt("the master key is not valid JSON of its kind"))?;
    MasterKey::from_parts(
        decode_exactly(&json.encrypt)?,
        decode_exactly(&json.mac.k)?,
        decode_exactly(&json.mac.r)?,
    )
}

fn derive(password: &Secret, salt: &[u8], cost: ScryptCost) -> Result<MasterKey> {
    let params = cost.params()?;
    let mut bytes = Zeroizing::new([0; 64]);
    scrypt::scrypt(password.expose(), salt, &params, bytes.as_mut())
        .map_err(|_| Error::new(ErrorKind::Unsupported, "scrypt refused its cost"))?;
    Ok(MasterKey::from_bytes(&bytes))
}

fn decode_base64(text: &str, what: &str) -> Result<Vec<u8>> {
    STANDARD
        .decode(text)
        .map_err(|_| Error::corrupt(format!("{what} is not base64")))
}

fn decode_exactly<const N: usize>(text: &str) -> Result<[u8; N]> {
    let bytes = Zeroizing::new(decode_base64(text, "a part of the master key")?);
    bytes[..]
        .try_into()
        .map_err(|_| Error::corrupt("a part of the master key has a wrong length"))
}

pub(crate) fn to_json(what: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    GoStyle::encode(value).map_err(|e| Error::json(what, e))
}
