//! A whole Debian, made from packages of the release that the tests run on.
//!
//! Gives a folder to furnish, and a disk of it. Needs a superuser, mmdebstrap, and the mirror that
//! apt knows.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tool;

/// A root that is not a disk yet.
pub struct Debian {
    tree: PathBuf,
}

impl Debian {
    /// Makes the smallest one in a folder, with more packages (names with commas between them);
    /// nothing, said loudly, where it cannot be made.
    ///
    /// # Panics
    /// If packages cannot be had; with `CI` set, if a program is missing.
    pub fn make(folder: &Path, packages: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            // This needs a superuser, not a program.
            eprintln!("SKIPPED: a Debian root cannot be made here");
            return None;
        }
        let release = fs::read_to_string("/etc/os-release").unwrap();
        let suite = release
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let suite = suite.expect("the tests run on Debian");
        let format = "deb $(SITE) $(RELEASE) $(COMPONENT)";
        let arguments = ["indextargets", "--format", format, "Created-By: Packages"];
        let known = succeeds("apt-get", &arguments)?;
        let wanted = format!(" {suite} main");
        let source = known.lines().find(|line| line.ends_with(&wanted));
        let source = source.expect("apt knows a source of its own release");
        let sources = folder.join("sources.list");
        fs::write(&sources, format!("{source}\n")).unwrap();
        let tree = folder.join("debian");
        let arguments = [
            "--quiet",
            "--mode=root",
            "--variant=minbase",
            "--include",
            packages,
            "--aptopt",
            "APT::Install-Recommends \"false\"",
            "--dpkgopt",
            "force-unsafe-io",
            suite,
            shown(&tree),
            shown(&sources),
        ];
        succeeds("mmdebstrap", &arguments)?;
        Some(Self { tree })
    }

    /// A place of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.tree.join(name)
    }

    /// Writes a file, and folders above it.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes a raw disk of so many bytes, which is all one ext4; the folder goes.
    pub fn into_disk(self, raw: &Path, bytes: u64) -> Option<()> {
        File::create(raw).unwrap().set_len(bytes).unwrap();
        let arguments = ["-q", "-t", "ext4", "-b", "4096", "-d", shown(&self.tree)];
        succeeds("mke2fs", &[&arguments[..], &[shown(raw)]].concat())?;
        fs::remove_dir_all(self.tree).unwrap();
        Some(())
    }
}

/// Runs a program, which must succeed; nothing where it is not installed.
fn succeeds(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(tool(program)?).args(arguments).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}
