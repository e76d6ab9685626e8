//! Finds the kernel that the rescue VM boots.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use lifeboat_model::ErrorKind;

use super::modules::Modules;
use super::settings::Settings;
use crate::{Error, Result};

/// Without these there are no disks and no channel.
const NEEDED: [&str; 3] = ["virtio_pci", "virtio_blk", "virtio_console"];
const ADVICE: &str = "install a kernel (Debian: linux-image-amd64; linux-image-cloud-amd64 reads \
                      fewer file systems), or name one in the settings";

/// A kernel and its modules.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    pub(super) modules: Modules,
    /// It unpacks an initramfs that zstd has compressed.
    pub(super) knows_zstd: bool,
}

/// Finds the configured kernel, or the one that reads most file systems, of these the newest.
///
/// Errors: `Unsupported` if there is none, with what was seen and what to install.
pub(super) fn find(settings: &Settings) -> Result<Kernel> {
    let root = &settings.system;
    let candidates = match &settings.kernel {
        Some(image) => vec![(image.clone(), release_of(image))],
        None => candidates(root),
    };
    let mut refused = Vec::new();
    let mut fitting = Vec::new();
    for (image, release) in candidates {
        match open(root, &image, &release) {
            Ok(kernel) => fitting.push((kernel.modules.file_system_count(), release, kernel)),
            Err(text) => refused.push(format!("{}: {text}", image.display())),
        }
    }
    let best = fitting
        .into_iter()
        .max_by(|(a_count, a, _), (b_count, b, _)| {
            a_count.cmp(b_count).then_with(|| compare_releases(a, b))
        });
    best.map(|(_, _, kernel)| kernel).ok_or_else(|| {
        let seen = match refused.is_empty() {
            true => "there is none in /boot and /lib/modules".into(),
            false => refused.join("; "),
        };
        Error::new(
            ErrorKind::Unsupported,
            "finding a kernel for",
            "the rescue VM",
        )
        .seen(format!("{seen}; {ADVICE}"))
    })
}

fn open(root: &Path, image: &Path, release: &str) -> std::result::Result<Kernel, String> {
    File::open(image).map_err(|error| format!("cannot be read: {error}"))?;
    let folder = root.join("lib/modules").join(release);
    let modules = Modules::open(&folder)
        .map_err(|_| format!("its modules are not in {}", folder.display()))?;
    if let Some(missing) = NEEDED.iter().find(|name| !modules.has(name)) {
        return Err(format!("it has no {missing}"));
    }
    let configuration = root.join(format!("boot/config-{release}"));
    let others = [configuration, folder.join("config")];
    let mut texts = others
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    Ok(Kernel {
        image: image.to_owned(),
        modules,
        knows_zstd: texts.any(|text| text.contains("\nCONFIG_RD_ZSTD=y\n")),
    })
}

fn candidates(root: &Path) -> Vec<(PathBuf, String)> {
    let list = |folder: &str| {
        let entries = fs::read_dir(root.join(folder))
            .into_iter()
            .flatten()
            .flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let boot = list("boot").into_iter().filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("vmlinuz-")
    });
    let beside_modules = list("lib/modules").into_iter().map(|it| it.join("vmlinuz"));
    boot.chain(beside_modules.filter(|path| path.exists()))
        .map(|path| (path.clone(), release_of(&path)))
        .collect()
}

/// `/boot/vmlinuz-RELEASE` or `/lib/modules/RELEASE/vmlinuz`.
fn release_of(image: &Path) -> String {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    match name.split_once('-') {
        Some((_, release)) => release.into(),
        None => {
            let folder = image.parent().and_then(Path::file_name);
            folder.unwrap_or_default().to_string_lossy().into()
        }
    }
}

/// By their numbers, so that 6.10 is newer than 6.9.
fn compare_releases(a: &str, b: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        let parts = text.split(|letter: char| !letter.is_ascii_digit());
        parts.filter_map(|part| part.parse().ok()).collect()
    };
    numbers(a).cmp(&numbers(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(kernels: &[(&str, &str)]) -> (tempfile::TempDir, Settings) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("boot")).unwrap();
        for (release, modules) in kernels {
            fs::write(folder.path().join(format!("boot/vmlinuz-{release}")), "x").unwrap();
            let there = folder.path().join("lib/modules").join(release);
            fs::create_dir_all(&there).unwrap();
            fs::write(there.join("modules.dep"), modules.replace(' ', ".ko:\n")).unwrap();
        }
        let mut settings = Settings::new(folder.path());
        settings.system = folder.path().into();
        (folder, settings)
    }

    const VIRTIO: &str = "virtio_pci virtio_blk virtio_console ";

    #[test]
    fn the_newest_of_those_that_read_most_is_taken() {
        let full = format!("{VIRTIO}xfs ntfs3 ");
        let (_folder, settings) = machine(&[
            ("6.9.0-1-amd64", &full),
            ("6.10.0-1-amd64", &full),
            ("6.12.0-1-cloud-amd64", VIRTIO),
            ("7.0.0-1-amd64", "xfs ntfs3 "),
        ]);
        let kernel = find(&settings).unwrap();
        assert!(kernel.image.ends_with("vmlinuz-6.10.0-1-amd64"));
    }

    #[test]
    fn without_a_kernel_the_packages_are_named() {
        let (_folder, settings) = machine(&[]);
        let error = find(&settings).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("linux-image-amd64"), "{error}");
    }

    #[test]
    fn a_kernel_without_modules_is_refused_with_the_reason() {
        let (_folder, mut settings) = machine(&[("6.1.0", "xfs ")]);
        let error = find(&settings).unwrap_err().to_string();
        assert!(error.contains("it has no virtio_pci"), "{error}");
        settings.kernel = Some(settings.system.join("boot/vmlinuz-5.0"));
        let error = find(&settings).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
