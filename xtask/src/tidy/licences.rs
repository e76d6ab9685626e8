//! Every dependency comes under a licence that `deny.toml` allows.
//!
//! The same list serves cargo-deny, which also knows advisories; this check needs no network.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Finding;
use super::metadata::{Metadata, Package};

#[derive(Debug, Deserialize)]
struct DenyFile {
    licenses: Licences,
}

#[derive(Debug, Default, Deserialize)]
struct Licences {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Debug, Deserialize)]
struct Exception {
    allow: Vec<String>,
    #[serde(rename = "crate")]
    package: String,
}

/// Refuses dependencies whose licence expression cannot be met by the allowed licences.
pub(crate) fn check(metadata: &Metadata, deny_file: &Path) -> Result<Vec<Finding>> {
    let text = fs::read_to_string(deny_file).context("reading deny.toml")?;
    let licences = toml::from_str::<DenyFile>(&text)
        .context("reading deny.toml")?
        .licenses;
    let foreign = metadata
        .packages
        .iter()
        .filter(|package| package.source.is_some());
    Ok(foreign
        .filter_map(|package| check_package(package, &licences))
        .collect())
}

fn check_package(package: &Package, licences: &Licences) -> Option<Finding> {
    let seen = package.license.as_deref().unwrap_or("no licence");
    if licences.meet(&package.name, seen) {
        return None;
    }
    let text = format!("{} {} comes under {seen}", package.name, package.version);
    Some(Finding::of(
        "Cargo.lock",
        format!("{text}, which deny.toml does not allow"),
    ))
}

impl Licences {
    fn meet(&self, package: &str, expression: &str) -> bool {
        let exceptions = self.exceptions.iter().filter(|it| it.package == package);
        let more: Vec<_> = exceptions.flat_map(|it| &it.allow).collect();
        let allowed = |licence: &str| {
            self.allow
                .iter()
                .chain(more.iter().copied())
                .any(|allowed| allowed == licence)
        };
        let words = words(expression);
        let mut rest = words.as_slice();
        either(&mut rest, &allowed) && rest.is_empty()
    }
}

/// The words of an SPDX expression, brackets apart; the old `/` means `OR`.
fn words(expression: &str) -> Vec<String> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

fn either(rest: &mut &[String], allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = both(rest, allowed);
    while take(rest, "OR") {
        met |= both(rest, allowed);
    }
    met
}

fn both(rest: &mut &[String], allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = one(rest, allowed);
    while take(rest, "AND") {
        met &= one(rest, allowed);
    }
    met
}

fn one(rest: &mut &[String], allowed: &dyn Fn(&str) -> bool) -> bool {
    if take(rest, "(") {
        let met = either(rest, allowed);
        return take(rest, ")") && met;
    }
    let Some((name, after)) = rest.split_first() else {
        return false;
    };
    *rest = after;
    if !take(rest, "WITH") {
        return allowed(name);
    }
    let Some((exception, after)) = rest.split_first() else {
        return false;
    };
    *rest = after;
    allowed(&format!("{name} WITH {exception}"))
}

fn take(rest: &mut &[String], word: &str) -> bool {
    match rest.split_first() {
        Some((first, after)) if first == word => {
            *rest = after;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn licences() -> Licences {
        let text = "[licenses]\nallow = ['MIT', 'Unicode-3.0', 'Apache-2.0 WITH LLVM-exception']\n\
            exceptions = [{ allow = ['OpenSSL'], crate = 'aws' }]";
        toml::from_str::<DenyFile>(text).unwrap().licenses
    }

    #[test]
    fn allowed_licences_pass() {
        for expression in [
            "MIT",
            "MIT OR Apache-2.0",
            "GPL-3.0/MIT",
            "(GPL-2.0 OR MIT) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Zlib",
        ] {
            assert!(licences().meet("x", expression), "{expression}");
        }
        assert!(licences().meet("aws", "MIT AND OpenSSL"));
    }

    #[test]
    fn other_licences_are_refused() {
        for expression in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "",
            "no licence",
            "MIT AND OpenSSL",
            "(MIT",
            "MIT )",
        ] {
            assert!(!licences().meet("x", expression), "{expression}");
        }
    }
}
