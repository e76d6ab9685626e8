//! The key of the audit log, and its newest seal, beside the catalog.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use lifeboat_catalog::{AuditKey, Catalog};
use lifeboat_model::{Entropy, ErrorKind, Secret};

use crate::error::{Error, Result};

const KEY: &str = "audit.key";
const HEAD: &str = "audit.head";

/// The key; made at the first use, for nobody else to read.
///
/// Errors: `NotFound` when it is gone and the log has entries: a new one would fit none of them.
pub(crate) fn audit_key(
    state: &Path,
    catalog: &Catalog,
    entropy: &dyn Entropy,
) -> Result<AuditKey> {
    let path = state.join(KEY);
    let failed = |doing: &str, error: &std::io::Error| {
        let text = format!(
            "cannot {doing} the key of the audit log {}: {error}",
            path.display()
        );
        Error::new(ErrorKind::of_io(error), text)
    };
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if !catalog.audit_entries(None, 1)?.is_empty() {
                let text = format!(
                    "the key of the audit log {} is missing, and the log has entries: bring it \
                     back from a copy of this folder or from another node; with 32 other bytes \
                     there, every entry until now counts as damaged",
                    path.display()
                );
                return Err(Error::new(ErrorKind::NotFound, text));
            }
            let made = DirBuilder::new().recursive(true).mode(0o700).create(state);
            made.map_err(|e| failed("make", &e))?;
            let mut bytes = vec![0; 32];
            entropy.fill(&mut bytes);
            let mut options = OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(&path);
            let mut file = file.map_err(|e| failed("make", &e))?;
            let written = file.write_all(&bytes).and_then(|()| file.sync_all());
            written.map_err(|e| failed("write", &e))?;
            bytes
        }
        Err(error) => return Err(failed("read", &error)),
    };
    AuditKey::new(Secret::new(bytes)).map_err(|error| Error::new(error.kind(), error.to_string()))
}

/// The number and seal of the newest entry at the last look, if there was one.
pub(crate) fn audit_head(state: &Path) -> Option<(i64, String)> {
    let text = fs::read_to_string(state.join(HEAD)).ok()?;
    let (number, seal) = text.trim().split_once(' ')?;
    Some((number.parse().ok()?, seal.to_owned()))
}

/// Keeps them for the next look.
pub(crate) fn set_audit_head(state: &Path, head: &(i64, String)) -> std::io::Result<()> {
    let path = state.join(HEAD);
    let fresh = path.with_extension("new");
    fs::write(&fresh, format!("{} {}\n", head.0, head.1))?;
    fs::rename(fresh, path)
}
