//! Places of repositories and addresses of platforms that nothing here reaches.

use std::collections::BTreeMap;

use lifeboat_backend::Location;
use lifeboat_config::{Finding, Loaded, Origin, Severity, Spot};

use crate::CheckPlatform;
use crate::error::Error;

/// Adds what is wrong with them to the findings. Entries that are only carried over from another
/// program are told already, and nothing is done with them.
pub(super) fn check<J>(loaded: &mut Loaded<J>, check: CheckPlatform) {
    let config = &loaded.config;
    let repositories = config.repositories.iter().filter_map(|(name, entry)| {
        let error = Location::parse(&entry.place).err()?;
        let is_used = entry.carried_over.is_none();
        is_used.then(|| (format!("repositories.{name}.place"), Error::from(error)))
    });
    let platforms = config.platforms.iter().filter_map(|(name, entry)| {
        let is_used = entry.carried_over.is_none();
        let error = is_used.then(|| check(&entry.uri).err())??;
        Some((format!("platforms.{name}.uri"), Error::from(error)))
    });
    let wrong: Vec<_> = repositories.chain(platforms).collect();
    if wrong.is_empty() {
        return;
    }
    let shown = loaded.shown.iter();
    let spots: BTreeMap<&str, &Spot> = shown
        .filter_map(|it| match &it.origin {
            Origin::Written(spot) => Some((it.path.as_str(), spot)),
            Origin::Usual => None,
        })
        .collect();
    for (path, error) in wrong {
        if let Some(spot) = spots.get(path.as_str()) {
            loaded.findings.push(Finding {
                spot: (*spot).clone(),
                severity: Severity::Error,
                message: format!("{path}: {error}"),
                suggestion: None,
            });
        }
    }
    loaded.findings.sort();
}
