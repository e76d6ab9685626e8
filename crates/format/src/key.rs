//! Key files: the master key sealed under a password.
//!
//! Source: restic's design document, "Keys, Encryption and MAC"; restic-format 5.1.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use lifeboat_model::{Entropy, ErrorKind, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::{Error, GoTime, MasterKey, Result};

/// restic's salt length; another one is refused.
const SALT_BYTES: usize = 64;

/// Most memory that a key file may ask for: a hostile one could ask for 1 TiB.
const SCRYPT_BYTES_MAX: u64 = 256 << 20;

/// Most rounds that a key file may ask for.
const SCRYPT_P_MAX: u32 = 16;

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
        let wrong = |what: &str| {
            Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the key's scrypt cost N={} r={} p={} is {what}",
                    self.n, self.r, self.p
                ),
            ))
        };
        if !self.n.is_power_of_two() || self.n < 2 || self.r == 0 || self.p == 0 {
            return wrong("not valid");
        }
        if 128 * u64::from(self.n) * u64::from(self.r) > SCRYPT_BYTES_MAX || self.p > SCRYPT_P_MAX {
            return wrong("more than 256 MiB or 16 rounds: refused");
        }
        let log_n = u8::try_from(self.n.trailing_zeros()).unwrap_or(u8::MAX);
        scrypt::Params::new(log_n, self.r, self.p, 32).or_else(|_| wrong("not valid"))
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
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    encrypt: String,
}

#[derive(Serialize, Deserialize)]
struct MacJson {
    k: String,
    r: String,
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
        let json = MasterKeyJson {
            mac: MacJson {
                k: STANDARD.encode(k),
                r: STANDARD.encode(r),
            },
            encrypt: STANDARD.encode(encrypt),
        };
        let mut plain = to_json("the master key", &json)?;
        let data = STANDARD.encode(user.seal(&plain, entropy));
        plain.zeroize();
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
        let bytes = to_json("a key file", &file)?;
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
    /// Errors: `Denied` for a wrong password, `Unsupported` for a cost beyond bounds, `Corrupt`.
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
        let mut sealed = decode_base64(&self.data, "the sealed key")?;
        let plain = user
            .unseal_in_place(&mut sealed)
            .map_err(|_| Error::new(ErrorKind::Denied, "the password does not open this key"))?;
        let master = read_master(plain);
        plain.zeroize();
        master
    }
}

fn read_master(plain: &[u8]) -> Result<MasterKey> {
    let json: MasterKeyJson =
        serde_json::from_slice(plain).map_err(|e| Error::json("the master key", e))?;
    MasterKey::from_parts(
        decode_exactly(&json.encrypt)?,
        decode_exactly(&json.mac.k)?,
        decode_exactly(&json.mac.r)?,
    )
}

fn derive(password: &Secret, salt: &[u8], cost: ScryptCost) -> Result<MasterKey> {
    let params = cost.params()?;
    let mut bytes = [0; 64];
    scrypt::scrypt(password.expose(), salt, &params, &mut bytes)
        .map_err(|_| Error::new(ErrorKind::Unsupported, "scrypt refused its cost"))?;
    let key = MasterKey::from_bytes(&bytes);
    bytes.zeroize();
    Ok(key)
}

fn decode_base64(text: &str, what: &str) -> Result<Vec<u8>> {
    STANDARD
        .decode(text)
        .map_err(|_| Error::corrupt(format!("{what} is not base64")))
}

fn decode_exactly<const N: usize>(text: &str) -> Result<[u8; N]> {
    let bytes = decode_base64(text, "a part of the master key")?;
    bytes
        .try_into()
        .map_err(|_| Error::corrupt("a part of the master key has a wrong length"))
}

pub(crate) fn to_json(what: &str, value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::json(what, e))
}
