//! A kernel for small guests: only unpacked, with the modules that tests of real block devices
//! load, and the order in which to load them.
//!
//! The folder holds `vmlinuz`, the modules, and `order`: one file name a line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::debian;
use crate::process;

/// Follows the newest kernel without drivers of real hardware.
const METAPACKAGE: &str = "linux-image-cloud";
/// What tests load; what these need comes before them, what is built in is left out.
const MODULES: [&str; 5] = [
    "virtio_pci",
    "virtio_blk",
    "dm_mod",
    "dm_snapshot",
    "dm_thin_pool",
];

/// Puts the folder `guest-kernel` beside the tools unless it is there.
pub(crate) fn install(tools: &Path) -> Result<()> {
    let target = tools.join("guest-kernel");
    if target.join("order").is_file() {
        return Ok(());
    }
    let work = tools.join("guest-kernel.new");
    if work.exists() {
        fs::remove_dir_all(&work).context("removing an earlier attempt")?;
    }
    fs::create_dir_all(work.join("made")).context("creating the kernel's folder")?;
    unpack(&work)?;
    take_kernel(&work)?;
    take_modules(&work)?;
    if target.exists() {
        fs::remove_dir_all(&target).context("removing an older kernel")?;
    }
    fs::rename(work.join("made"), &target).context("moving the kernel to its place")?;
    fs::remove_dir_all(&work).context("removing the unpacked package")
}

fn unpack(work: &Path) -> Result<()> {
    let package = package()?;
    let mut download = Command::new("apt-get");
    let options = ["-qq", "-o", "APT::Sandbox::User=", "download", &package];
    process::quiet(download.args(options).current_dir(work))?;
    let archive = files_below(work)?
        .into_iter()
        .find(|path| path.extension().is_some_and(|it| it == "deb"));
    let archive = archive.context("apt downloaded no kernel")?;
    process::quiet(
        Command::new("dpkg-deb")
            .arg("-x")
            .args([&archive, &work.join("root")]),
    )
}

/// The package that the metapackage stands for, as in `linux-image-6.1.0-56-cloud-amd64`.
fn package() -> Result<String> {
    let mut query = Command::new("dpkg");
    let machine = process::output(query.arg("--print-architecture"))?;
    let metapackage = format!("{METAPACKAGE}-{}", machine.trim());
    // The mirror's lists are read anew where there are none.
    debian::sources("$(SITE)")?;
    let depends = process::output(Command::new("apt-cache").args(["depends", &metapackage]))?;
    let words = depends.split_whitespace();
    let package = words.filter(|it| it.starts_with("linux-image-")).nth(1);
    let missing = || format!("{metapackage} stands for no kernel");
    Ok(package.with_context(missing)?.to_owned())
}

fn take_kernel(work: &Path) -> Result<()> {
    let found = files_below(&work.join("root/boot"))?;
    let is_kernel = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("vmlinuz")
    };
    let kernel = found
        .iter()
        .find(is_kernel)
        .context("the package holds no kernel")?;
    fs::copy(kernel, work.join("made/vmlinuz")).context("copying the kernel")?;
    Ok(())
}

fn take_modules(work: &Path) -> Result<()> {
    let root = work.join("root");
    let folder = ["lib/modules", "usr/lib/modules"].map(|it| root.join(it));
    let folder = folder
        .iter()
        .find(|it| it.is_dir())
        .context("the package holds no modules")?;
    let files = files_below(folder)?;
    let named = files
        .iter()
        .filter_map(|path| Some((module_name(path)?, path.as_path())));
    let known: BTreeMap<String, &Path> = named.collect();
    let mut order = Vec::new();
    for module in MODULES {
        add_module(module, &known, work, &mut order)?;
    }
    ensure!(!order.is_empty(), "the kernel has none of the modules");
    let text: String = order.iter().map(|name| format!("{name}.ko\n")).collect();
    fs::write(work.join("made/order"), text).context("writing the order of modules")
}

/// Copies a module after those that it needs.
fn add_module(
    name: &str,
    known: &BTreeMap<String, &Path>,
    work: &Path,
    order: &mut Vec<String>,
) -> Result<()> {
    let Some(path) = known.get(name) else {
        return Ok(());
    };
    if order.iter().any(|it| it == name) {
        return Ok(());
    }
    let content = module_content(path)?;
    for needed in needed_modules(&content) {
        add_module(&needed, known, work, order)?;
    }
    let place = work.join("made").join(format!("{name}.ko"));
    fs::write(&place, content).context("copying a module")?;
    order.push(name.to_owned());
    Ok(())
}

fn module_content(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_some_and(|it| it == "ko") {
        return fs::read(path).context("reading a module");
    }
    let output = Command::new("xz")
        .arg("-dc")
        .arg(path)
        .output()
        .context("starting xz")?;
    if !output.status.success() {
        bail!("{} cannot be unpacked", path.display());
    }
    Ok(output.stdout)
}

/// `dm-mod.ko` and `dm-mod.ko.xz` are `dm_mod`.
fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = name
        .strip_suffix(".xz")
        .unwrap_or(name)
        .strip_suffix(".ko")?;
    Some(stem.replace('-', "_"))
}

/// The modules that a module says it needs, in its section of information.
fn needed_modules(content: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let place = content.windows(KEY.len()).position(|it| it == KEY);
    let Some(text) = place.and_then(|at| content.get(at + KEY.len()..)) else {
        return Vec::new();
    };
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(0);
    let names = String::from_utf8_lossy(&text[..end]).replace('-', "_");
    names
        .split(',')
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect()
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_say_what_they_need() {
        let content = b"ELF\0license=GPL\0depends=dm-bufio,dm_mod\0name=dm_snapshot\0";
        assert_eq!(needed_modules(content), ["dm_bufio", "dm_mod"]);
        assert!(needed_modules(b"\0depends=\0").is_empty());
        assert!(needed_modules(b"nothing").is_empty());
        let name = |path: &str| module_name(Path::new(path));
        assert_eq!(name("a/dm-mod.ko.xz").as_deref(), Some("dm_mod"));
        assert_eq!(name("a/modules.dep"), None);
    }
}
