//! Puts on the machine what the tests and the demo ask: Debian packages, and newer judges
//! beside them in `target/tools`.
//!
//! Everything is looked for first, so that a second run takes a moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::narrator::Narrator;
use crate::workspace::Workspace;

mod browser_tools;
mod cargo_tool;
pub(crate) mod debian;
mod guest_kernel;
mod newer_restic;
pub(crate) mod peers;
mod python_tools;
mod slim;

use cargo_tool::{Build, CargoTool};
use slim::Slim;

/// What the demo runs besides lifeboat.
const DEMO_PACKAGES: [&str; 8] = [
    "e2fsprogs",
    "grub-common",
    "grub-pc-bin",
    "libnbd-bin",
    "mmdebstrap",
    "qemu-system-x86",
    "qemu-utils",
    "restic",
];

/// What the tests ask for their judgement.
const TEST_PACKAGES: [&str; 43] = [
    "binutils",
    "btrfs-progs",
    "busybox-static",
    "chromium",
    "cpio",
    "curl",
    "dmsetup",
    "dosfstools",
    "dpkg-dev",
    "e2fsprogs",
    "fdisk",
    "fuse3",
    "kmod",
    "libnbd-bin",
    "libvirt-clients",
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "libzstd-dev",
    "linux-image-amd64",
    "lvm2",
    "mmdebstrap",
    "mtools",
    "nbdkit",
    "netcat-openbsd",
    "ntfs-3g",
    "openssh-client",
    "openssh-server",
    "openssl",
    "pkg-config",
    "postgresql",
    "prometheus",
    "python3-aiosmtpd",
    "python3-venv",
    "qemu-guest-agent",
    "qemu-system-x86",
    "qemu-utils",
    "restic",
    "strace",
    "systemd",
    "thin-provisioning-tools",
    "xfsprogs",
    "xz-utils",
    "zstd",
];

/// The other reader and writer of restic repositories.
const RUSTIC: CargoTool = CargoTool {
    package: "rustic-rs",
    program: "rustic",
    file: "rustic",
    build: Build::Quick,
    version: "0.11.4",
    features: &["--no-default-features"],
    computing: &[
        "aes",
        "block-buffer",
        "cipher",
        "ctr",
        "generic-array",
        "hmac",
        "pbkdf2",
        "poly1305",
        "rustic_cdc",
        "salsa20",
        "scrypt",
        "sha2",
        "zstd-safe",
        "zstd-sys",
    ],
    slim: &RUSTIC_SLIM,
};

/// Without any way to a store over a network: no test takes one, and they are a third of it all.
const RUSTIC_SLIM: [Slim; 2] = [
    Slim {
        package: "rustic-rs",
        version: "0.11.4",
        without: &["\"rustls\",", "\"blocking\","],
        pieces: &[(
            "features = [\"cli\"]\n\n[dependencies.rustic_core]",
            "features = [\"cli\", \"opendal\"]\ndefault-features = false\n\n\
             [dependencies.rustic_core]",
        )],
    },
    Slim {
        package: "rustic_backend",
        version: "0.7.0",
        without: &["\"services-"],
        pieces: &[
            (
                "not(windows))\".dependencies.opendal]\n",
                "not(windows))\".dependencies.opendal]\ndefault-features = false\n",
            ),
            (
                "\"layers-throttle\",",
                "\"auto-register-services\", \"executors-tokio\", \"layers-concurrent-limit\", \
                 \"layers-logging\", \"layers-retry\", \"layers-throttle\", \"layers-timeout\", \
                 \"services-fs\",",
            ),
        ],
    },
];

/// The test runner.
pub(crate) const NEXTEST: CargoTool = CargoTool {
    package: "cargo-nextest",
    program: "cargo-nextest",
    file: "cargo-nextest",
    build: Build::Quick,
    version: "0.9.151",
    features: &["--no-default-features", "--features", "default-no-update"],
    computing: &[],
    slim: &[],
};

/// Runs targets of fuzzing.
const FUZZER: CargoTool = CargoTool {
    package: "cargo-fuzz",
    program: "cargo-fuzz",
    file: "cargo-fuzz",
    build: Build::Quick,
    version: "0.13.2",
    features: &[],
    computing: &[],
    slim: &[],
};

/// Installs what runs the targets of fuzzing, and says where it is.
pub(crate) fn fuzzer(workspace: &Workspace, narrator: &mut Narrator) -> Result<PathBuf> {
    let tools = workspace.tools();
    fs::create_dir_all(&tools).context("creating target/tools")?;
    FUZZER.install(narrator, &tools)?;
    Ok(tools.join(FUZZER.program))
}

/// Installs what the demo runs.
pub(crate) fn for_demo(narrator: &mut Narrator) -> Result<()> {
    let began = Instant::now();
    let text = match debian::install(&DEMO_PACKAGES)?.as_slice() {
        [] => "everything is there: QEMU, mmdebstrap, the stock restic".into(),
        added => format!("Debian packages: {}", added.join(", ")),
    };
    narrator.done(&text, began.elapsed());
    Ok(())
}

/// Installs what the tests ask; the stock rustic is built, which takes minutes, once.
pub(crate) fn for_tests(workspace: &Workspace) -> Result<()> {
    let mut narrator = Narrator::new();
    let tools = workspace.tools();
    fs::create_dir_all(&tools).context("creating target/tools")?;
    narrator.title("setup: what the tests ask");
    let began = Instant::now();
    let text = match debian::install(&TEST_PACKAGES)?.as_slice() {
        [] => "Debian packages are there".into(),
        added => format!("Debian packages: {}", added.join(", ")),
    };
    narrator.done(&text, began.elapsed());
    install_browser_tools(&mut narrator, &tools)?;
    install_guest_kernel(&mut narrator, &tools)?;
    install_newer_restic(&mut narrator, &tools)?;
    install_python_tools(&mut narrator, &tools)?;
    RUSTIC.install(&mut narrator, &tools)
}

fn install_python_tools(narrator: &mut Narrator, tools: &Path) -> Result<()> {
    let began = Instant::now();
    let version = python_tools::install(tools)?;
    let text = format!("schemathesis {version}, in a folder of its own");
    narrator.done(&text, began.elapsed());
    Ok(())
}

fn install_browser_tools(narrator: &mut Narrator, tools: &Path) -> Result<()> {
    let began = Instant::now();
    browser_tools::install(tools)?;
    narrator.done(
        "browser-tools: drive a browser, check its pages",
        began.elapsed(),
    );
    Ok(())
}

fn install_guest_kernel(narrator: &mut Narrator, tools: &Path) -> Result<()> {
    let began = Instant::now();
    guest_kernel::install(tools)?;
    narrator.done(
        "guest-kernel: for small guests, unpacked beside",
        began.elapsed(),
    );
    Ok(())
}

fn install_newer_restic(narrator: &mut Narrator, tools: &Path) -> Result<()> {
    let began = Instant::now();
    let version = newer_restic::install(tools)?;
    narrator.done(
        &format!("restic-new: restic {version}, unpacked beside"),
        began.elapsed(),
    );
    Ok(())
}
