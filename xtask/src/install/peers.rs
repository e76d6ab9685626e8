//! The programs that lifeboat is measured against, each in the form its authors publish.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use super::cargo_tool::{Build, CargoTool};
use super::{debian, install_newer_restic};
use crate::narrator::Narrator;
use crate::process;

const BORG: &str = "1.4.5";
/// What borg and bupstash are built with.
const BORG_PACKAGES: [&str; 7] = [
    "libacl1-dev",
    "liblz4-dev",
    "libssl-dev",
    "libxxhash-dev",
    "libzstd-dev",
    "pkg-config",
    "python3-venv",
];
/// What is measured around machines: libvirt, its peer, and the reader of disks.
const MACHINE_PACKAGES: [&str; 8] = [
    "fio",
    "fuse3",
    "libnbd-bin",
    "libvirt-clients",
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "qemu-system-x86",
    "virtnbdbackup",
];
const BUPSTASH_PACKAGES: [&str; 2] = ["libsodium-dev", "pkg-config"];

/// Not the quick build that the tests ask for their judgement.
const RUSTIC: CargoTool = CargoTool {
    package: "rustic-rs",
    program: "rustic",
    file: "rustic-published",
    build: Build::Published,
    version: "0.11.4",
    features: &[],
    computing: &[],
    slim: &[],
};

const BUPSTASH: CargoTool = CargoTool {
    package: "bupstash",
    program: "bupstash",
    file: "bupstash",
    build: Build::Published,
    version: "0.12.0",
    features: &[],
    computing: &[],
    slim: &[],
};

/// The newest stock restic.
pub(crate) fn newer_restic(narrator: &mut Narrator, tools: &Path) -> Result<PathBuf> {
    install_newer_restic(narrator, tools)?;
    Ok(tools.join("restic-new"))
}

/// Debian's own restic.
pub(crate) fn debian_restic() -> Result<PathBuf> {
    debian::install(&["restic"])?;
    Ok("restic".into())
}

pub(crate) fn rustic(narrator: &mut Narrator, tools: &Path) -> Result<PathBuf> {
    RUSTIC.install(narrator, tools)?;
    Ok(tools.join(RUSTIC.file))
}

pub(crate) fn bupstash(narrator: &mut Narrator, tools: &Path) -> Result<PathBuf> {
    debian::install(&BUPSTASH_PACKAGES)?;
    BUPSTASH.install(narrator, tools)?;
    Ok(tools.join(BUPSTASH.file))
}

/// borg, in a Python environment of its own.
pub(crate) fn borg(narrator: &mut Narrator, tools: &Path) -> Result<PathBuf> {
    let began = Instant::now();
    let folder = tools.join("borg");
    let program = folder.join("bin/borg");
    let wanted = format!("borg {BORG}");
    let is_there = || {
        let answer = process::output(Command::new(&program).arg("--version"));
        answer.is_ok_and(|words| words.trim() == wanted)
    };
    if !is_there() {
        narrator.note(&format!("building {wanted}: a minute, once"));
        debian::install(&BORG_PACKAGES)?;
        let mut environment = Command::new("/usr/bin/python3");
        process::quiet(environment.args(["-m", "venv", "--clear"]).arg(&folder))?;
        let mut pip = Command::new(folder.join("bin/pip"));
        let package = format!("borgbackup=={BORG}");
        process::quiet(pip.args(["install", "--quiet", &package])).context("building borg")?;
    }
    narrator.done(&wanted, began.elapsed());
    Ok(program)
}

/// virtnbdbackup and libvirt come with Debian, too.
pub(crate) fn for_machines() -> Result<()> {
    debian::install(&MACHINE_PACKAGES).map(drop)
}

/// qemu-img comes with Debian.
pub(crate) fn qemu_img() -> Result<()> {
    debian::install(&["qemu-utils"]).map(drop)
}
