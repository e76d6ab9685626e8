//! The files of the package, where Debian wants them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::Workspace;

/// Folders of the package by what lies there.
pub(super) const DOC: &str = "usr/share/doc/lifeboat";
const MAN: &str = "usr/share/man/man1";
const UNITS: &str = "usr/lib/systemd/system";

/// Completions by shell, as Debian's packages of the shells look for them.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/lifeboat"),
    ("zsh", "usr/share/zsh/vendor-completions/_lifeboat"),
    ("fish", "usr/share/fish/vendor_completions.d/lifeboat.fish"),
];

/// Files of the source tree, and the folders that they go into.
const FILES: [(&str, &str); 9] = [
    ("packaging/systemd/lifeboat.service", UNITS),
    ("packaging/systemd/lifeboat-run@.service", UNITS),
    ("packaging/systemd/lifeboat-run@.timer", UNITS),
    (
        "packaging/prometheus/lifeboat.rules.yml",
        "usr/share/lifeboat/prometheus",
    ),
    (
        "packaging/prometheus/scrape.yml",
        "usr/share/lifeboat/prometheus",
    ),
    (
        "packaging/grafana/lifeboat.json",
        "usr/share/lifeboat/grafana",
    ),
    ("docs/operating/lifeboat.schema.json", "usr/share/lifeboat"),
    (
        "docs/operating/lifeboat.example.toml",
        "usr/share/doc/lifeboat/examples",
    ),
    ("README.md", DOC),
];

/// Puts everything into `stage` but what says what it is.
pub(super) fn fill(workspace: &Workspace, program: &Path, stage: &Path) -> Result<()> {
    let binary = stage.join("usr/bin/lifeboat");
    copy(program, &binary)?;
    let strip = [
        "--strip-unneeded",
        "--remove-section=.comment",
        "--remove-section=.note",
    ];
    process::quiet(Command::new("strip").args(strip).arg(&binary))?;
    mode(&binary, 0o755)?;
    for (from, folder) in FILES {
        let from = workspace.root.join(from);
        let name = from.file_name().context("a file without a name")?;
        copy(&from, &stage.join(folder).join(name))?;
    }
    manuals(program, stage)?;
    completions(program, stage)?;
    pages(workspace, stage)?;
    let overrides = workspace.root.join("packaging/debian/lintian-overrides");
    copy(
        &overrides,
        &stage.join("usr/share/lintian/overrides/lifeboat"),
    )?;
    let settings = stage.join("etc/lifeboat");
    fs::create_dir_all(&settings).context("making etc/lifeboat")?;
    // Places and names of everything are there; secrets may be.
    mode(&settings, 0o750)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let doing = || format!("copying {} to {}", from.display(), to.display());
    fs::create_dir_all(to.parent().with_context(doing)?).with_context(doing)?;
    fs::copy(from, to).with_context(doing)?;
    mode(to, 0o644)
}

fn mode(path: &Path, bits: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(bits))
        .with_context(|| format!("setting the mode of {}", path.display()))
}

/// Writes a file, and folders above it.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    fs::create_dir_all(path.parent().with_context(doing)?).with_context(doing)?;
    fs::write(path, text).with_context(doing)?;
    mode(path, 0o644)
}

/// Packs files as Debian wants pages and change logs.
pub(super) fn pack(files: &[PathBuf]) -> Result<()> {
    process::quiet(Command::new("gzip").args(["-9", "-n", "-f"]).args(files))
}

fn manuals(program: &Path, stage: &Path) -> Result<()> {
    let folder = stage.join(MAN);
    process::quiet(Command::new(program).arg("-q").arg("man").arg(&folder))?;
    let pages = listed(&folder)?;
    pages.iter().try_for_each(|page| mode(page, 0o644))?;
    pack(&pages)
}

fn completions(program: &Path, stage: &Path) -> Result<()> {
    for (shell, path) in COMPLETIONS {
        let script = process::output(Command::new(program).args(["completions", shell]))?;
        write(&stage.join(path), &script)?;
    }
    Ok(())
}

/// The pages about operating.
fn pages(workspace: &Workspace, stage: &Path) -> Result<()> {
    for page in listed(&workspace.root.join("docs/operating"))? {
        let Some(name) = page
            .file_name()
            .filter(|_| page.extension().is_some_and(|it| it == "md"))
        else {
            continue;
        };
        copy(&page, &stage.join(DOC).join("operating").join(name))?;
    }
    Ok(())
}

/// The files of a folder, sorted.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let doing = || format!("listing {}", folder.display());
    let entries = fs::read_dir(folder).with_context(doing)?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.with_context(doing)?.path());
    }
    files.sort();
    Ok(files)
}
