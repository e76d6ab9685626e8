//! Debian packages: only what is missing, quietly.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// How often a round of installing may uncover that something else is missing now.
///
/// A machine may hold a newer build of one package (a backport) that stands in the way of another:
/// installing the second removes the first, and the next round brings it back in a fitting version.
const ROUNDS_MAX: usize = 3;

/// Installs the packages that are not there, and says which these were.
pub(crate) fn install(packages: &[&'static str]) -> Result<Vec<&'static str>> {
    let wanted = missing(packages)?;
    for round in 0..ROUNDS_MAX {
        let now = missing(packages)?;
        if now.is_empty() {
            return Ok(wanted);
        }
        install_round(&now, round)?;
    }
    bail!(
        "not installable with apt-get: {}",
        missing(packages)?.join(", ")
    )
}

/// What apt knows of its package sources, one line each, in apt's own format.
pub(crate) fn sources(format: &str) -> Result<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", format, "Created-By: Packages"]);
    let lines = process::output(&mut command)?;
    if !lines.trim().is_empty() {
        return Ok(lines);
    }
    update()?;
    process::output(&mut command)
}

/// The site that the machine's own lists come from, as `scheme://host/debian`.
pub(crate) fn mirror() -> Result<String> {
    let sites = sources("$(SITE)")?;
    let site = sites
        .lines()
        .find(|site| site.trim_end_matches('/').ends_with("/debian"));
    let site = site.context("the machine's apt has no Debian mirror in its lists")?;
    Ok(site.trim_end_matches('/').to_owned())
}

fn update() -> Result<()> {
    process::quiet(apt_get().args(["-qq", "update"]))
}

fn install_round(packages: &[&str], round: usize) -> Result<()> {
    eprintln!("installing {}", packages.join(" "));
    if apt_get_install(packages).is_ok() {
        return Ok(());
    }
    if round == 0 {
        update()?;
        if apt_get_install(packages).is_ok() {
            return Ok(());
        }
    }
    for package in packages {
        if let Err(error) = apt_get_install(&[package]) {
            eprintln!("{error:#}");
        }
    }
    Ok(())
}

fn apt_get_install(packages: &[&str]) -> Result<()> {
    let mut command = apt_get();
    command.args([
        "install",
        "-y",
        "-qq",
        "--no-install-recommends",
        "--allow-downgrades",
    ]);
    process::quiet(command.args(packages))
}

fn apt_get() -> Command {
    let mut command = process::as_root("env");
    command.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=120",
    ]);
    command
}

fn missing(packages: &[&'static str]) -> Result<Vec<&'static str>> {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${Package} ${db:Status-Status}\n"]);
    let known = process::output(&mut query)?;
    Ok(not_installed(packages, &known))
}

fn not_installed(packages: &[&'static str], known: &str) -> Vec<&'static str> {
    let is_there = |package: &str| {
        known
            .lines()
            .any(|line| line == format!("{package} installed"))
    };
    packages
        .iter()
        .copied()
        .filter(|package| !is_there(package))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_and_unknown_packages_are_missing() {
        let known = "restic installed\nzstd config-files\nqemu-utils installed\n";
        assert_eq!(
            not_installed(&["restic", "zstd", "nbdkit"], known),
            ["zstd", "nbdkit"]
        );
    }
}
