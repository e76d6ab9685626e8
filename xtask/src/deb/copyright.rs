//! Whose work is in the program, and under which licences.
//!
//! Source: machine-readable debian/copyright, format 1.0.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::tree;
use crate::process;
use crate::workspace::Workspace;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Writes the file `copyright`.
pub(super) fn write(workspace: &Workspace, stage: &Path) -> Result<()> {
    let mut text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
                    Upstream-Name: lifeboat\n\nFiles: *\n\
                    Copyright: 2026 The lifeboat authors\nLicense: Apache-2.0 or Expat\n\n"
        .to_owned();
    let mit =
        fs::read_to_string(workspace.root.join("LICENSE-MIT")).context("reading LICENSE-MIT")?;
    let mit = mit.split_once("\n\n").map_or("", |(_, rest)| rest);
    let mit = mit.split_once("\n\n").map_or(mit, |(_, rest)| rest);
    text += "License: Apache-2.0\n On Debian systems the text is in\n \
             /usr/share/common-licenses/Apache-2.0.\n\nLicense: Expat\n";
    for line in mit.trim().lines() {
        text += &match line.trim() {
            "" => " .\n".to_owned(),
            line => format!(" {line}\n"),
        };
    }
    text += "\nComment:\n The program contains work of others, each under the licence that\n \
             stands behind it. Their sources and texts are on crates.io.\n";
    for (licence, packages) in linked(workspace)? {
        text += &format!(" .\n {licence}:\n");
        for package in packages {
            text += &format!("  {package}\n");
        }
    }
    tree::write(&stage.join(tree::DOC).join("copyright"), &text)
}

/// What is linked into the program, by licence.
fn linked(workspace: &Workspace) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let words = ["metadata", "--format-version", "1", "--locked"];
    let told = process::output(&mut workspace.cargo(&words))?;
    let metadata: Metadata = serde_json::from_str(&told).context("reading cargo's metadata")?;
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let program = metadata.packages.iter().find(|it| it.name == "lifeboat");
    let mut open = vec![program.context("there is no package lifeboat")?.id.as_str()];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let edges = nodes.get(id).into_iter().flat_map(|node| &node.deps);
        let normal = edges.filter(|edge| edge.dep_kinds.iter().any(|it| it.kind.is_none()));
        open.extend(normal.map(|edge| edge.pkg.as_str()));
    }
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let foreign = metadata.packages.iter().filter(|it| it.source.is_some());
    for package in foreign.filter(|it| seen.contains(it.id.as_str())) {
        let licence = package
            .license
            .clone()
            .unwrap_or_else(|| "no licence".into());
        let name = format!("{} {}", package.name, package.version);
        found.entry(licence).or_default().insert(name);
    }
    Ok(found)
}
