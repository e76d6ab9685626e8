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

const DESCRIPTION: &str = "Description: backups of virtual machines in restic repositories
 lifeboat backs up virtual machines of libvirt, volumes of LVM and this
 computer itself while they run, into ordinary restic repositories (format
 v2), and brings them back: as a whole, by disk, by file, or running straight
 from the repository.
 .
 Stock restic and rustic read everything that it stores.
";

/// What the package does when it comes and goes, beside `packaging/debian`.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Whose it is, which version, and for what.
#[derive(Debug)]
pub(super) struct About {
    version: String,
    architecture: String,
    maintainer: String,
    /// Seconds since 1970 of the sources' last change.
    changed: u64,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    authors: Vec<String>,
}

impl About {
    /// Asks cargo, dpkg and git.
    ///
    /// Errors: nobody says who maintains the package.
    pub(super) fn of(workspace: &Workspace) -> Result<Self> {
        let mut command = workspace.cargo(&["metadata", "--format-version", "1", "--no-deps"]);
        let told = process::output(&mut command)?;
        let metadata: Metadata = serde_json::from_str(&told).context("reading cargo's metadata")?;
        let mut packages = metadata.packages.into_iter();
        let package = packages.find(|it| it.name == "lifeboat");
        let package = package.context("there is no package lifeboat")?;
        let authors = package.authors.first();
        let authors = authors.context("Cargo.toml names no authors")?;
        let address = address(workspace)?;
        let architecture = process::output(Command::new("dpkg").arg("--print-architecture"))?;
        Ok(Self {
            maintainer: format!("{authors} <{address}>"),
            version: package.version,
            architecture: architecture.trim().to_owned(),
            changed: changed(workspace)?,
        })
    }

    /// The package's name as a file, without its ending.
    pub(super) fn file_name(&self) -> String {
        format!("lifeboat_{}_{}", self.version, self.architecture)
    }

    /// When files of the package were made: seconds since 1970, the same for the same sources.
    pub(super) fn changed(&self) -> u64 {
        self.changed
    }
}

/// Where mail about the package goes: `DEBEMAIL`, as Debian's tools have it, or the address that
/// the last change of the sources came from.
fn address(workspace: &Workspace) -> Result<String> {
    if let Ok(address) = std::env::var("DEBEMAIL") {
        return Ok(address);
    }
    let told = last_change(workspace, "%ae");
    told.context("set DEBEMAIL to the address of whoever maintains the package")
}

fn changed(workspace: &Workspace) -> Result<u64> {
    let told = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(told) => told,
        Err(_) => last_change(workspace, "%ct")
            .context("set SOURCE_DATE_EPOCH to when the sources were last changed")?,
    };
    let seconds = told.parse();
    seconds.with_context(|| format!("{told} is no number of seconds"))
}

/// What git says of the last change of the sources, in a format of `git log`.
fn last_change(workspace: &Workspace, format: &str) -> Result<String> {
    let mut command = Command::new("git");
    command.args(["log", "-1", &format!("--format={format}")]);
    let told = process::output(command.current_dir(&workspace.root))?;
    Ok(told.trim().to_owned())
}

/// Writes the folder DEBIAN and the change log.
pub(super) fn write(
    workspace: &Workspace,
    about: &About,
    (folder, stage): (&Path, &Path),
) -> Result<()> {
    let log = stage.join(tree::DOC).join("changelog");
    let moment = format!("@{}", about.changed);
    let date = process::output(Command::new("date").args(["-R", "-u", "-d", &moment]))?;
    let maintainer = &about.maintainer;
    let text = format!(
        "lifeboat ({}) unstable; urgency=medium\n\n  * Built from the source tree.\n\n \
         -- {maintainer}  {date}",
        about.version
    );
    tree::write(&log, &text)?;
    tree::pack(&[log])?;
    let needs = needs(folder, &stage.join("usr/bin/lifeboat"))?;
    let text = format!(
        "Package: lifeboat\nVersion: {}\nArchitecture: {}\nMaintainer: {maintainer}\n\
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
    for script in SCRIPTS {
        let path = debian.join(script);
        fs::copy(workspace.root.join("packaging/debian").join(script), &path)
            .with_context(|| format!("copying {script}"))?;
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
