//! What the package says of itself, and what it does when it comes and goes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::tree;
use crate::process;
use crate::workspace::Workspace;

const MAINTAINER: &str = "The lifeboat authors <maintainers@lifeboat.invalid>";

const DESCRIPTION: &str = "Description: backups of virtual machines in restic repositories
 lifeboat backs up virtual machines of libvirt, volumes of LVM and this
 computer itself while they run, into ordinary restic repositories (format
 v2), and brings them back: as a whole, by disk, by file, or running straight
 from the repository.
 .
 Stock restic and rustic read everything that it stores.
";

/// systemd reads its units anew; nothing is started, stopped or enabled.
const RELOAD: &str = "#!/bin/sh
set -e
if [ -z \"$DPKG_ROOT\" ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
";

/// Name, version and architecture.
#[derive(Debug)]
pub(super) struct About {
    version: String,
    architecture: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

impl About {
    /// Asks cargo and dpkg.
    pub(super) fn of(workspace: &Workspace) -> Result<Self> {
        let mut command = workspace.cargo(&["metadata", "--format-version", "1", "--no-deps"]);
        let told = process::output(&mut command)?;
        let metadata: Metadata = serde_json::from_str(&told).context("reading cargo's metadata")?;
        let mut packages = metadata.packages.into_iter();
        let package = packages.find(|it| it.name == "lifeboat");
        let architecture = process::output(Command::new("dpkg").arg("--print-architecture"))?;
        Ok(Self {
            version: package.context("there is no package lifeboat")?.version,
            architecture: architecture.trim().to_owned(),
        })
    }

    /// The package's name as a file, without its ending.
    pub(super) fn file_name(&self) -> String {
        format!("lifeboat_{}_{}", self.version, self.architecture)
    }
}

/// Writes the folder DEBIAN and the change log.
pub(super) fn write(about: &About, folder: &Path, stage: &Path) -> Result<()> {
    let log = stage.join(tree::DOC).join("changelog");
    let date = process::output(Command::new("date").args(["-R", "-u", "-d", "@0"]))?;
    let text = format!(
        "lifeboat ({}) unstable; urgency=medium\n\n  * Built from the source tree.\n\n \
         -- {MAINTAINER}  {date}",
        about.version
    );
    tree::write(&log, &text)?;
    tree::pack(&[log])?;
    let needs = needs(folder, &stage.join("usr/bin/lifeboat"))?;
    let text = format!(
        "Package: lifeboat\nVersion: {}\nArchitecture: {}\nMaintainer: {MAINTAINER}\n\
         Installed-Size: {}\nDepends: {needs}\nRecommends: libvirt0\n\
         Suggests: fuse3, lvm2, openssh-client, prometheus, qemu-system-x86\n\
         Section: admin\nPriority: optional\n{DESCRIPTION}",
        about.version,
        about.architecture,
        kibibytes(stage)?
    );
    let debian = stage.join("DEBIAN");
    tree::write(&debian.join("control"), &text)?;
    tree::write(&debian.join("md5sums"), &sums(stage)?)?;
    for script in ["postinst", "postrm"] {
        let path = debian.join(script);
        tree::write(&path, RELOAD)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("setting the mode of {script}"))?;
    }
    Ok(())
}

/// Packages with the libraries that the program is linked against.
fn needs(folder: &Path, program: &Path) -> Result<String> {
    // It looks for a source package where it stands.
    let source = folder.join("source");
    tree::write(
        &source.join("debian/control"),
        "Source: lifeboat\n\nPackage: lifeboat\nArchitecture: any\n",
    )?;
    let mut command = Command::new("dpkg-shlibdeps");
    command.args(["-O", "-e"]).arg(program).current_dir(&source);
    let told = process::output(&mut command)?;
    fs::remove_dir_all(&source).context("removing what dpkg-shlibdeps needed")?;
    let found = told
        .lines()
        .find_map(|line| line.strip_prefix("shlibs:Depends="));
    Ok(found.context("dpkg-shlibdeps found nothing")?.to_owned())
}

fn kibibytes(stage: &Path) -> Result<String> {
    let told = process::output(
        Command::new("du")
            .args(["-sk", "--apparent-size"])
            .arg(stage),
    )?;
    let first = told.split_whitespace().next();
    Ok(first.context("du told nothing")?.to_owned())
}

fn sums(stage: &Path) -> Result<String> {
    let words = "find . -type f ! -path './DEBIAN/*' -printf '%P\\0' | LC_ALL=C sort -z | \
                 xargs -0 md5sum --";
    process::output(Command::new("sh").args(["-c", words]).current_dir(stage))
}
