//! Programs that are not ours say whether our work is right.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::lifeboat::Lifeboat;
use crate::narrator::Narrator;
use crate::process;

/// The stock restic reads the whole repository and checks every blob.
pub(crate) fn restic_check(narrator: &mut Narrator, lifeboat: &Lifeboat) -> Result<Duration> {
    narrator.command("restic check --read-data -r repository");
    let began = Instant::now();
    let mut command = Command::new("restic");
    lifeboat.unlock(command.args(["check", "--read-data", "--no-cache", "--quiet", "-r"]));
    command.arg(lifeboat.repository());
    let version = process::output(Command::new("restic").arg("version"))?;
    process::quiet(&mut command)?;
    let version = version
        .split_whitespace()
        .take(2)
        .collect::<Vec<_>>()
        .join(" ");
    narrator.done(&format!("{version} finds no error"), began.elapsed());
    Ok(began.elapsed())
}

/// qemu-img compares two disks as a guest would see them.
pub(crate) fn compare(narrator: &mut Narrator, image: &Path, restored: &Path) -> Result<Duration> {
    narrator.command("qemu-img compare demo01.qcow2 restored.raw");
    let began = Instant::now();
    let mut command = Command::new("qemu-img");
    command
        .args(["compare", "-f", "qcow2", "-F", "raw"])
        .arg(image)
        .arg(restored);
    let answer = process::output(&mut command)?;
    narrator.done(answer.trim(), began.elapsed());
    Ok(began.elapsed())
}
