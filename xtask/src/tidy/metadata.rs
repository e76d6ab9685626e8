//! What cargo knows about the packages.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;
use crate::workspace::Workspace;

/// Packages of the workspace and all that they bring with them.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
    workspace_root: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// `None` for what lies in the workspace itself.
    pub(crate) source: Option<String>,
    manifest_path: String,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

/// Something that cargo builds from a package.
#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    kind: Option<String>,
    path: Option<String>,
}

/// A package of ours, and what it is made of as far as the rules ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crate {
    /// The folder's path from the root: `crates/model`.
    pub(crate) folder: String,
    pub(crate) package: String,
    pub(crate) uses: Vec<Use>,
    /// The names of its test binaries.
    pub(crate) tests: Vec<String>,
}

/// One edge: the used crate's folder name, and whether only tests use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) name: String,
    pub(crate) only_tests: bool,
}

impl Crate {
    /// The folder's own name, by which the rules know a crate.
    pub(crate) fn name(&self) -> &str {
        last_part(&self.folder)
    }
}

impl Metadata {
    pub(crate) fn crates(&self) -> Vec<Crate> {
        let ours = self
            .packages
            .iter()
            .filter(|it| self.workspace_members.contains(&it.id));
        ours.map(|package| self.crate_of(package)).collect()
    }

    fn crate_of(&self, package: &Package) -> Crate {
        let folder = package.manifest_path.trim_end_matches("/Cargo.toml");
        let folder = folder.strip_prefix(&self.workspace_root).unwrap_or(folder);
        let uses = package.dependencies.iter().filter_map(|dependency| {
            let name = last_part(dependency.path.as_deref()?).to_owned();
            Some(Use {
                name,
                only_tests: dependency.kind.as_deref() == Some("dev"),
            })
        });
        let tests = package
            .targets
            .iter()
            .filter(|it| it.kind.iter().any(|kind| kind == "test"));
        Crate {
            tests: tests.map(|target| target.name.clone()).collect(),
            folder: folder.trim_start_matches('/').into(),
            package: package.name.clone(),
            uses: uses.collect(),
        }
    }
}

/// Asks cargo for everything, dependencies of dependencies too.
pub(crate) fn load(workspace: &Workspace) -> Result<Metadata> {
    let mut command = workspace.cargo(&["metadata", "--format-version", "1", "--locked"]);
    serde_json::from_str(&process::output(&mut command)?).context("reading cargo's metadata")
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_come_from_path_dependencies() {
        let text = r#"{"workspace_root": "/x", "workspace_members": ["m"], "packages": [
            {"id": "m", "name": "lifeboat-disk", "version": "1", "license": null, "source": null,
             "manifest_path": "/x/crates/disk/Cargo.toml", "dependencies": [
               {"kind": null, "path": "/x/crates/model"}, {"kind": "dev", "path": "/x/testkit"},
               {"kind": null, "path": null}],
             "targets": [{"name": "disk", "kind": ["lib"]}, {"name": "main", "kind": ["test"]}]},
            {"id": "z", "name": "zstd", "version": "1", "license": "MIT", "source": "registry",
             "manifest_path": "/y/Cargo.toml", "dependencies": [], "targets": []}]}"#;
        let metadata: Metadata = serde_json::from_str(text).unwrap();
        let crates = metadata.crates();
        assert_eq!(crates.len(), 1);
        assert_eq!(
            (crates[0].folder.as_str(), crates[0].name()),
            ("crates/disk", "disk")
        );
        assert_eq!(crates[0].tests, ["main"]);
        let uses = [("model", false), ("testkit", true)].map(|(name, only_tests)| Use {
            name: name.into(),
            only_tests,
        });
        assert_eq!(crates[0].uses, uses);
    }
}
