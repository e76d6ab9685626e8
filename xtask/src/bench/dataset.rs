//! The data set: disks of two Debian machines as they are in life, and two extreme ones.
//!
//! | file | what |
//! |---|---|
//! | `vm-a.raw` | 8 GiB ext4, a Debian with compilers, a database's table space, logs; trimmed |
//! | `vm-a.day2.raw` | the same disk a day of upgrades and page writes later; not trimmed |
//! | `vm-b.raw` | 6 GiB ext4, installed on its own: other order, overlapping packages |
//! | `vm-b-xfs.raw` | the files of `vm-b.raw` on 8 GiB of XFS |
//! | `sparse64g.raw` | 64 GiB with 400 extents of 256 KiB |
//! | `incompressible.raw` | 4 GiB of noise |
//!
//! A file that is there is taken as it is. Needs root, loop devices and a Debian mirror.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::noise::Noise;
use super::rows::Suite;
use crate::install::debian;
use crate::narrator::Narrator;
use crate::process;

mod content;
mod machines;
mod mounted;

const GIB: u64 = 1 << 30;
/// What making the disks takes, besides what Debian always has.
const PACKAGES: [&str; 5] = [
    "debootstrap",
    "e2fsprogs",
    "mount",
    "util-linux",
    "xfsprogs",
];

/// How a file is made, in a folder, under a name that is not yet its own.
type Maker = fn(&Path, &Path) -> Result<()>;

/// Every file with the suite that needs it; each may use those before it.
const FILES: [(&str, Suite, Maker); 6] = [
    ("vm-a.raw", Suite::Machines, machines::make_a),
    ("vm-a.day2.raw", Suite::Machines, machines::make_day2),
    ("vm-b.raw", Suite::Machines, machines::make_b),
    ("vm-b-xfs.raw", Suite::Machines, machines::make_b_on_xfs),
    ("sparse64g.raw", Suite::Sparse, make_sparse),
    ("incompressible.raw", Suite::Incompressible, make_noise),
];

/// Makes what these suites need and is not there.
pub(crate) fn make(narrator: &mut Narrator, folder: &Path, suites: &[Suite]) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let folder = fs::canonicalize(folder)?;
    let needed = FILES.iter().filter(|(_, suite, _)| suites.contains(suite));
    let mut missing = needed.filter(|(name, ..)| !folder.join(name).exists());
    let mut is_prepared = false;
    missing.try_for_each(|(name, suite, maker)| {
        if *suite == Suite::Machines && !is_prepared {
            ensure!(
                process::is_root(),
                "making {name} needs root: it mounts disks"
            );
            debian::install(&PACKAGES)?;
            is_prepared = true;
        }
        make_file(narrator, &folder, name, *maker)
    })
}

fn make_file(narrator: &mut Narrator, folder: &Path, name: &str, maker: Maker) -> Result<()> {
    let began = Instant::now();
    narrator.note(&format!("making {name}"));
    let part = folder.join(format!("{name}.part"));
    if part.exists() {
        fs::remove_file(&part)?;
    }
    maker(folder, &part).with_context(|| format!("making {name}"))?;
    File::open(&part)?.sync_all()?;
    fs::rename(&part, folder.join(name))?;
    narrator.done(name, began.elapsed());
    Ok(())
}

/// A file of this size that is one hole.
fn make_hole(path: &Path, bytes: u64) -> Result<()> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    file.set_len(bytes).context("giving a disk its size")
}

fn make_sparse(_folder: &Path, path: &Path) -> Result<()> {
    const EXTENTS: u64 = 400;
    const EXTENT_BYTES: u64 = 256 << 10;
    make_hole(path, 64 * GIB)?;
    let mut file = File::options().write(true).open(path)?;
    let mut noise = Noise::new(64);
    for _ in 0..EXTENTS {
        let at = noise.below(64 * GIB / EXTENT_BYTES) * EXTENT_BYTES;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&noise.digits(usize::try_from(EXTENT_BYTES)?))?;
    }
    Ok(())
}

fn make_noise(_folder: &Path, path: &Path) -> Result<()> {
    copy_noise(path, 4 * GIB)
}

/// Fills a file with the kernel's random bytes.
fn copy_noise(path: &Path, bytes: u64) -> Result<()> {
    let mut source = File::open("/dev/urandom")?.take(bytes);
    let mut file = File::create(path)?;
    io::copy(&mut source, &mut file).context("writing noise")?;
    Ok(())
}

/// Runs a program with arguments, heard only when it fails.
fn call(program: &str, arguments: &[&Path]) -> Result<()> {
    process::quiet(Command::new(program).args(arguments))
}

/// A folder to mount at, beside the disks.
fn mount_folder(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
    Ok(path)
}
