//! Which crates have examples in their documentation: only these are given to rustdoc, which
//! reads a whole crate to find none.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;
use crate::workspace::Workspace;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    #[serde(rename = "src_path")]
    root: PathBuf,
}

/// Names of the packages with a library that has anything which rustdoc might run.
pub(crate) fn crates(workspace: &Workspace) -> Result<Vec<String>> {
    let mut ask = workspace.cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Metadata =
        serde_json::from_str(&process::output(&mut ask)?).context("reading cargo's metadata")?;
    let mut names = Vec::new();
    for package in metadata.packages {
        let library = package.targets.iter().find(|it| it.kind == ["lib"]);
        let folder = library.and_then(|library| library.root.parent());
        if let Some(folder) = folder
            && has_example(folder)?
        {
            names.push(package.name);
        }
    }
    Ok(names)
}

fn has_example(folder: &Path) -> Result<bool> {
    let shown = folder.display();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {shown}"))? {
        let path = entry.with_context(|| format!("listing {shown}"))?.path();
        if path.is_dir() {
            if has_example(&path)? {
                return Ok(true);
            }
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path);
            let text = text.with_context(|| format!("reading {}", path.display()))?;
            if text.lines().any(may_begin_example) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether a line may begin an example, or takes documentation from elsewhere.
///
/// Source: CommonMark, fenced and indented code blocks. In doubt, yes.
fn may_begin_example(line: &str) -> bool {
    let line = line.trim_start();
    if ["/**", "/*!"].iter().any(|it| line.starts_with(it)) || line.contains("doc =") {
        return true;
    }
    let comment = line
        .strip_prefix("///")
        .or_else(|| line.strip_prefix("//!"));
    comment.is_some_and(|text| {
        let is_indented = text.starts_with("     ") || text.contains('\t');
        is_indented || text.contains("```") || text.contains("~~~")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_example_is_seen() {
        for line in [
            "/// ```",
            "    //! - ~~~ rust",
            "///     assert!(true);",
            "///\tassert!(true);",
            "#![doc = include_str!(\"../README.md\")]",
            "#[cfg_attr(unix, doc = \"x\")]",
            "    /** An essay.",
        ] {
            assert!(may_begin_example(line), "{line}");
        }
        for line in [
            "/// Plain words.",
            "//!   - a list",
            "// ```",
            "let a = \"///\";",
        ] {
            assert!(!may_begin_example(line), "{line}");
        }
    }
}
