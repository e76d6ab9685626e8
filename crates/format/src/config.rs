//! The repository's configuration.
//!
//! Sealed JSON, never compressed. Our own settings stand under the key `lifeboat`; keys of other
//! programs are kept when we write the file again.
//!
//! Source: restic's design document, "Repository Format"; docs/format.md.

use lifeboat_model::{Entropy, ErrorKind, Id};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::key::to_json;
use crate::polynomial::{draw, is_irreducible};
use crate::{Error, MasterKey, Result};

/// Our own settings of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Smallest data chunk of small disks, in bytes.
    pub chunk_size_min: u32,
    /// Mean gap from there to the next cut, in bytes.
    pub chunk_size_gap: u32,
    /// Largest data chunk of small disks, in bytes.
    pub chunk_size_max: u32,
    /// A pack is closed at this many bytes.
    pub pack_size: u32,
}

/// The configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigFile {
    /// Format version: 1 or 2.
    pub version: u32,
    /// Names the repository.
    pub id: Id,
    /// Irreducible, of degree 53; the secret seed of our cuts.
    pub chunker_polynomial: u64,
    /// Our own settings, if the repository has any.
    pub settings: Option<Settings>,
    /// Settings of other programs.
    pub other: Map<String, Value>,
}

#[derive(Serialize)]
struct ConfigJson<'a> {
    version: u32,
    id: String,
    chunker_polynomial: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifeboat: Option<&'a Settings>,
    #[serde(flatten)]
    other: &'a Map<String, Value>,
}

/// Largest sealed configuration that is read; real ones have some 200 bytes.
const CONFIG_BYTES_MAX: usize = 1 << 20;

const OURS: &str = "lifeboat";

impl ConfigFile {
    /// A new repository of version 2.
    pub fn create(entropy: &dyn Entropy) -> Self {
        let mut id = [0; 32];
        entropy.fill(&mut id);
        Self {
            version: 2,
            id: Id(id),
            chunker_polynomial: draw(entropy),
            settings: None,
            other: Map::new(),
        }
    }

    /// Opens and reads the file.
    ///
    /// Errors: `Unsupported` for versions after 2; `Corrupt`.
    pub fn decode(sealed: &[u8], key: &MasterKey) -> Result<Self> {
        if sealed.len() > CONFIG_BYTES_MAX {
            return Err(Error::corrupt("the configuration is larger than 1 MiB"));
        }
        let json = key.unseal(sealed)?;
        let mut all: Map<String, Value> =
            serde_json::from_slice(&json).map_err(|e| Error::json("the configuration", e))?;
        let version = take(&mut all, "version")?;
        if version == 0 || version > 2 {
            let doing = format!(
                "the repository has format version {version}, this program knows 1 and 2: \
                 use a newer one"
            );
            return Err(Error::new(ErrorKind::Unsupported, doing));
        }
        let id: String = take(&mut all, "id")?;
        let polynomial: String = take(&mut all, "chunker_polynomial")?;
        let chunker_polynomial = u64::from_str_radix(&polynomial, 16)
            .map_err(|_| Error::corrupt("the chunker polynomial is not hexadecimal"))?;
        if !is_irreducible(chunker_polynomial) {
            return Err(Error::corrupt("the chunker polynomial is not irreducible"));
        }
        let id = id
            .parse()
            .map_err(|_| Error::corrupt("the repository's id is not an id"))?;
        let settings = all.remove(OURS).map(serde_json::from_value).transpose();
        let settings =
            settings.map_err(|e| Error::json("lifeboat's part of the configuration", e))?;
        Ok(Self {
            version,
            id,
            chunker_polynomial,
            settings,
            other: all,
        })
    }

    /// Writes and seals the file, keys in restic's order.
    ///
    /// Errors: `Unsupported` for another version than 2.
    pub fn encode(&self, key: &MasterKey, entropy: &dyn Entropy) -> Result<Vec<u8>> {
        if self.version != 2 {
            let doing = format!(
                "a configuration of version {} is not written, only 2",
                self.version
            );
            return Err(Error::new(ErrorKind::Unsupported, doing));
        }
        let json = ConfigJson {
            version: self.version,
            id: self.id.to_string(),
            chunker_polynomial: format!("{:x}", self.chunker_polynomial),
            lifeboat: self.settings.as_ref(),
            other: &self.other,
        };
        Ok(key.seal(&to_json("the configuration", &json)?, entropy))
    }

    /// The configuration as JSON.
    pub fn to_json(&self) -> Value {
        let mut all = Map::new();
        all.insert("version".to_owned(), self.version.into());
        all.insert("id".to_owned(), self.id.to_string().into());
        let polynomial = format!("{:x}", self.chunker_polynomial);
        all.insert("chunker_polynomial".to_owned(), polynomial.into());
        if let Some(settings) = &self.settings {
            all.insert(
                OURS.to_owned(),
                serde_json::to_value(settings).unwrap_or_default(),
            );
        }
        all.extend(self.other.clone());
        Value::Object(all)
    }
}

fn take<T: for<'a> Deserialize<'a>>(all: &mut Map<String, Value>, key: &str) -> Result<T> {
    let value = all
        .remove(key)
        .ok_or_else(|| Error::corrupt(format!("the configuration has no \"{key}\"")))?;
    serde_json::from_value(value).map_err(|e| Error::json("the configuration", e))
}
