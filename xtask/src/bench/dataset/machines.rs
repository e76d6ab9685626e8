//! Debian machines: installed, used for a while, used for a day more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::mounted::Mounted;
use super::{GIB, call, content, copy_noise, make_hole, mount_folder};
use crate::bench::pages;
use crate::install::debian;
use crate::process;

const SUITE: &str = "bookworm";
const KERNEL: [&str; 1] = ["linux-image-amd64"];
const BOTH: [&str; 15] = [
    "nginx-light",
    "postgresql-15",
    "python3",
    "python3-numpy",
    "git",
    "vim-nox",
    "perl",
    "openssh-server",
    "rsync",
    "curl",
    "ca-certificates",
    "gcc",
    "g++",
    "make",
    "default-jre-headless",
];
const ONLY_A: [&str; 8] = [
    "rustc",
    "cargo",
    "rust-src",
    "golang-1.19-go",
    "linux-source-6.1",
    "php-cli",
    "mariadb-server-core",
    "redis-server",
];
const ONLY_B: [&str; 8] = [
    "nodejs",
    "linux-headers-amd64",
    "apache2",
    "ruby",
    "samba",
    "bind9",
    "clang-14",
    "texlive-latex-base",
];
const DAY2: [&str; 4] = ["htop", "tcpdump", "sqlite3", "imagemagick"];

const TABLE: &str = "srv/db/tablespace.ibd";
const LOG: &str = "var/log/app.log";

/// The first machine: 768 MiB of tables, 300 MiB of noise, 120 MiB of log, and a tree that was
/// deleted after the trim, so that its blocks still hold what they held.
pub(crate) fn make_a(folder: &Path, disk: &Path) -> Result<()> {
    let root = install(folder, disk, 8 * GIB, &[], |root| {
        add(root, &KERNEL)?;
        add(root, &BOTH)?;
        content::extend_log(&root.path(LOG), 120, 1)?;
        add(root, &ONLY_A)
    })?;
    for inside in ["srv/db", "srv/media"] {
        fs::create_dir_all(root.path(inside))?;
    }
    content::write_table(&root.path(TABLE), 48 << 10, 7)?;
    copy_noise(&root.path("srv/media/blob.bin"), 300 << 20)?;
    let trees = [
        ("usr/share/doc", "doc-copy"),
        ("usr/lib/python3", "py-copy"),
    ];
    for (tree, copy) in trees {
        let target = root.path("srv/media").join(copy);
        call("cp", &["-a".as_ref(), &root.path(tree), &target])?;
    }
    root.run(&["apt-get", "clean"])?;
    root.trim()?;
    fs::remove_dir_all(root.path("srv/media/doc-copy"))?;
    root.finish()
}

/// The day after: upgrades, packages come and go, logs grow, pages are written in place.
pub(crate) fn make_day2(folder: &Path, disk: &Path) -> Result<()> {
    let before = folder.join("vm-a.raw");
    call("cp", &["--sparse=always".as_ref(), &before, disk])?;
    let mut root = Mounted::mount(disk, &mount_folder(folder, "mnt")?, "noatime")?;
    root.bind()?;
    let mirror = debian::mirror()?;
    let sources = format!(
        "deb {mirror} {SUITE} main\ndeb {mirror} {SUITE}-updates main\n\
         deb {mirror}-security {SUITE}-security main\n"
    );
    fs::write(root.path("etc/apt/sources.list"), sources)?;
    root.run(&["apt-get", "update", "-qq"])?;
    root.run(&["apt-mark", "hold", "linux-source-6.1"])?;
    root.run(&["apt-get", "upgrade", "-y", "-qq"])?;
    add(&root, &DAY2)?;
    root.run(&["apt-get", "remove", "-y", "-qq", "php-cli"])?;
    fs::remove_dir_all(root.path("srv/media/py-copy"))?;
    root.run(&["sh", "-c", "rm -rf /usr/share/doc/lib[a-f]*"])?;
    content::extend_log(&root.path(LOG), 25, 2)?;
    pages::write(&root.path(TABLE), 8000, 11)?;
    root.run(&["apt-get", "clean"])?;
    root.finish()
}

/// The second machine: nothing copied from the first, most packages installed one by one.
pub(crate) fn make_b(folder: &Path, disk: &Path) -> Result<()> {
    let inodes = ["-m", "1", "-i", "8192"];
    let root = install(folder, disk, 6 * GIB, &inodes, |root| {
        add(root, &ONLY_B)?;
        content::extend_log(&root.path("var/log/syslog"), 80, 33)?;
        BOTH.iter().try_for_each(|package| add(root, &[package]))?;
        add(root, &KERNEL)
    })?;
    content::write_table(&root.path("srv/table.db"), 16 << 10, 99)?;
    root.run(&["apt-get", "clean"])?;
    root.trim()?;
    root.finish()
}

/// The second machine's files, on a file system that lays them out in its own way.
pub(crate) fn make_b_on_xfs(folder: &Path, disk: &Path) -> Result<()> {
    make_hole(disk, 8 * GIB)?;
    call("mkfs.xfs", &["-q".as_ref(), "-f".as_ref(), disk])?;
    let (from, to) = (
        mount_folder(folder, "mnt")?,
        mount_folder(folder, "mnt-xfs")?,
    );
    let source = Mounted::mount(&folder.join("vm-b.raw"), &from, "ro,noload")?;
    let target = Mounted::mount(disk, &to, "noatime")?;
    call("cp", &["-a".as_ref(), &from.join("."), &to])?;
    target.trim()?;
    target.finish()?;
    source.finish()
}

/// Makes a file system with Debian on it, ready for packages, and has them added.
fn install(
    folder: &Path,
    disk: &Path,
    bytes: u64,
    options: &[&str],
    packages: impl FnOnce(&Mounted) -> Result<()>,
) -> Result<Mounted> {
    make_hole(disk, bytes)?;
    let mut make = Command::new("mkfs.ext4");
    make.args(["-q", "-F", "-E", "lazy_itable_init=0"])
        .args(options);
    process::quiet(make.arg(disk))?;
    let mut root = Mounted::mount(disk, &mount_folder(folder, "mnt")?, "noatime")?;
    let mirror = debian::mirror()?;
    let mut bootstrap = Command::new("debootstrap");
    bootstrap
        .arg("--cache-dir")
        .arg(mount_folder(folder, "debcache")?);
    process::quiet(bootstrap.args([SUITE.as_ref(), root.path("").as_os_str(), mirror.as_ref()]))?;
    let no_start = root.path("usr/sbin/policy-rc.d");
    fs::write(&no_start, "#!/bin/sh\nexit 101\n")?;
    fs::set_permissions(&no_start, fs::Permissions::from_mode(0o755))?;
    fs::write(root.path("etc/dpkg/dpkg.cfg.d/quick"), "force-unsafe-io\n")?;
    root.bind()?;
    fs::write(
        root.path("etc/apt/sources.list"),
        format!("deb {mirror} {SUITE} main\n"),
    )?;
    root.run(&["apt-get", "update", "-qq"])?;
    packages(&root).context("installing packages")?;
    Ok(root)
}

fn add(root: &Mounted, packages: &[&str]) -> Result<()> {
    let words = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"];
    root.run(&[&words, packages].concat())
}
