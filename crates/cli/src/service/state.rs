//! Where the control plane keeps its state on this host.

use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_catalog::{Catalog, CatalogPlace};
use lifeboat_model::{Clock, ErrorKind};

use crate::error::{Error, Result};

/// The folder of the catalog, keys and certificates: `/var/lib/lifeboat` for root, else that of
/// the user.
pub(crate) fn state_folder(configured: Option<&PathBuf>) -> Result<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(folder) = configured {
        return Ok(folder.clone());
    }
    if let Some(folder) = named("LIFEBOAT_STATE").or_else(|| named("STATE_DIRECTORY")) {
        return Ok(folder);
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/lifeboat"));
    }
    let base = named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")));
    base.map(|base| base.join("lifeboat")).ok_or_else(|| {
        let text = "nobody says where state is kept: set LIFEBOAT_STATE, or state in [server]";
        Error::new(ErrorKind::Invalid, text)
    })
}

/// Opens the catalog.
pub(crate) fn catalog(place: &CatalogPlace, clock: &Arc<dyn Clock>) -> Result<Arc<Catalog>> {
    let opened = Catalog::open(place, Arc::clone(clock));
    let opened = opened.map_err(|error| Error::new(error.kind(), error.to_string()))?;
    Ok(Arc::new(opened))
}

/// The name of this host's node.
pub(crate) fn node_name(configured: Option<&String>) -> String {
    let names = rustix::system::uname();
    configured.cloned().unwrap_or_else(|| names.nodename().to_string_lossy().into_owned())
}
