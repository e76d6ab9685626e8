//! Makes the demo's disk: Debian from the machine's own mirror, on a disk that boots by itself.
//!
//! mmdebstrap builds the tree, mke2fs puts it into a partition without a mount, GRUB goes in
//! front: no loop device, no virtual machine, under a minute.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::boot_sector::{self, PARTITION_START};
use super::{MACHINE, mebibytes};
use crate::install::debian;
use crate::narrator::Narrator;
use crate::process;

const DISK_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Bytes that `stat` counts as one block, whatever the file system.
const STAT_BLOCK_BYTES: u64 = 512;

const PACKAGES: &str =
    "linux-image-cloud-amd64,systemd-sysv,dbus,udev,kmod,initramfs-tools,zstd,login";

/// An initramfs with only what this disk needs is made, and boots, much faster.
const INITRAMFS_HOOK: &str = "mkdir -p \"$1/etc/initramfs-tools/conf.d\" \
    && printf 'virtio_pci\\nvirtio_blk\\next4\\n' > \"$1/etc/initramfs-tools/modules\" \
    && printf 'MODULES=list\\nCOMPRESS=zstd\\n' > \"$1/etc/initramfs-tools/conf.d/lifeboat\"";

/// Files that come into the tree as they are.
const FILES: [(&str, &str, u32); 5] = [
    (
        "usr/local/sbin/lifeboat-guest",
        include_str!("../../guest/lifeboat-guest"),
        0o755,
    ),
    (
        "etc/systemd/system/lifeboat-guest.service",
        include_str!("../../guest/lifeboat-guest.service"),
        0o644,
    ),
    (
        "etc/systemd/system/lifeboat-guest-ready.service",
        include_str!("../../guest/lifeboat-guest-ready.service"),
        0o644,
    ),
    (
        "boot/grub/grub.cfg",
        include_str!("../../guest/grub.cfg"),
        0o644,
    ),
    ("etc/fstab", include_str!("../../guest/fstab"), 0o644),
];

/// Makes a qcow2 image of a disk with Debian on it.
pub(crate) fn make(narrator: &mut Narrator, work: &Path, image: &Path) -> Result<()> {
    let tree = make_tree(narrator, work)?;
    let began = Instant::now();
    let disk = work.join("demo01.raw");
    make_disk(&tree, &disk, work)?;
    process::quiet(
        process::as_root("rm")
            .args(["-rf", "--one-file-system"])
            .arg(&tree),
    )?;
    let mut convert = Command::new("qemu-img");
    process::quiet(
        convert
            .args(["convert", "-f", "raw", "-O", "qcow2"])
            .arg(&disk)
            .arg(image),
    )?;
    fs::remove_file(&disk)?;
    let text = format!(
        "a qcow2 disk: partition table, GRUB, ext4: {}",
        told(image)?
    );
    narrator.done(&text, began.elapsed());
    Ok(())
}

/// An image's space on our disk, and the size that the guest sees.
pub(crate) fn told(image: &Path) -> Result<String> {
    let metadata = fs::metadata(image).with_context(|| format!("looking at {image:?}"))?;
    let used = mebibytes(metadata.blocks() * STAT_BLOCK_BYTES);
    Ok(format!("{used} used of a {} GiB disk", DISK_BYTES >> 30))
}

fn make_tree(narrator: &mut Narrator, work: &Path) -> Result<PathBuf> {
    let began = Instant::now();
    let suite = suite()?;
    let sources = work.join("sources.list");
    fs::write(&sources, sources_of(&suite)?).context("writing the list of sources")?;
    let overlay = make_overlay(work)?;
    let tree = work.join("debian");
    let mut command = process::as_root("mmdebstrap");
    command.args([
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        "--include",
        PACKAGES,
    ]);
    for option in [
        "APT::Install-Recommends \"false\"",
        "Acquire::Languages \"none\"",
    ] {
        command.args(["--aptopt", option]);
    }
    command.args(["--dpkgopt", "force-unsafe-io"]);
    for folder in ["doc", "man", "locale"] {
        command
            .arg("--dpkgopt")
            .arg(format!("path-exclude=/usr/share/{folder}/*"));
    }
    command.args(["--essential-hook", INITRAMFS_HOOK, "--customize-hook"]);
    command.arg(format!(
        "cp -RT --no-preserve=ownership \"{}\" \"$1\"",
        overlay.display()
    ));
    process::quiet(command.arg(&suite).arg(&tree).arg(&sources))?;
    fs::remove_dir_all(&overlay)?;
    narrator.done(
        &format!("mmdebstrap: Debian {suite}, kernel, systemd"),
        began.elapsed(),
    );
    Ok(tree)
}

/// The files that make this guest ours, laid out as they will lie in it.
fn make_overlay(work: &Path) -> Result<PathBuf> {
    let overlay = work.join("overlay");
    for (path, text, mode) in FILES {
        write(&overlay.join(path), text, mode)?;
    }
    write(
        &overlay.join("etc/hostname"),
        &format!("{MACHINE}\n"),
        0o644,
    )?;
    write(&overlay.join("var/lib/lifeboat-guest/journal"), "", 0o644)?;
    let wanted = overlay.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    for unit in ["lifeboat-guest.service", "lifeboat-guest-ready.service"] {
        symlink(format!("/etc/systemd/system/{unit}"), wanted.join(unit))?;
    }
    // A login prompt on the serial line would cut off what the guest says there.
    symlink(
        "/dev/null",
        overlay.join("etc/systemd/system/serial-getty@ttyS0.service"),
    )?;
    Ok(overlay)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

fn make_disk(tree: &Path, disk: &Path, work: &Path) -> Result<()> {
    File::create(disk)?
        .set_len(DISK_BYTES)
        .context("making the disk's size")?;
    let mut command = process::as_root("mke2fs");
    command.args(["-q", "-t", "ext4", "-L", MACHINE, "-E"]);
    command.arg(format!("offset={PARTITION_START},root_owner=0:0"));
    command.arg("-d").arg(tree).arg(disk);
    process::quiet(command.arg(format!("{}k", (DISK_BYTES - PARTITION_START) / 1024)))?;
    boot_sector::write(disk, DISK_BYTES, work)
}

/// The release that this machine runs: its mirror surely has it.
fn suite() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("reading os-release")?;
    let suite = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(suite
        .context("os-release has no code name: the demo needs Debian")?
        .to_owned())
}

/// The machine's own package sources of its release, one line each.
fn sources_of(suite: &str) -> Result<String> {
    let sources = debian::sources("deb $(SITE) $(RELEASE) $(COMPONENT)")?;
    let mut lines: Vec<_> = sources.lines().map(str::to_owned).collect();
    lines.retain(|line| is_of_release(line, suite));
    lines.sort();
    lines.dedup();
    if lines.is_empty() {
        bail!("the machine's apt has no source for {suite}");
    }
    Ok(lines.join("\n") + "\n")
}

/// Whether a source is Debian's, of this release, its updates or its security fixes.
fn is_of_release(line: &str, suite: &str) -> bool {
    let [_, _, release, "main"] = line.split(' ').collect::<Vec<_>>()[..] else {
        return false;
    };
    match release.strip_prefix(suite) {
        Some(rest) => ["", "-updates", "-security"].contains(&rest),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_debians_own() {
        let is = |release: &str| is_of_release(&format!("deb http://x/y {release}"), "bookworm");
        assert!(is("bookworm main") && is("bookworm-security main"));
        assert!(!is("bookworm-backports main") && !is("bookworm contrib") && !is("nodistro main"));
    }
}
