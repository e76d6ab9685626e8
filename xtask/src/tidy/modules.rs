//! No file is forgotten: each is reached by `mod` from a root that cargo builds.
//!
//! A test file that `tests/main.rs` does not name would never run, and nobody would miss it.

use std::collections::BTreeSet;

use syn::Item;

use super::Finding;
use super::metadata::Crate;
use super::tree::{SourceFile, Tree};

/// Refuses Rust files of a package that no root reaches.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.package_folders()
        .iter()
        .flat_map(|folder| check_package(tree, folder))
        .collect()
}

/// Refuses test binaries besides `main`: each more is linked, and its files run twice.
pub(crate) fn check_test_binaries(crates: &[Crate]) -> Vec<Finding> {
    let more = crates.iter().flat_map(|it| {
        it.tests
            .iter()
            .filter(|name| *name != "main")
            .map(move |name| (it, name))
    });
    more.map(|(it, name)| {
        let text = format!("`{name}` is a test binary of its own: set `autotests = false`, name");
        Finding::of(&it.folder, text + " `tests/main.rs` as the only `[[test]]`")
    })
    .collect()
}

fn check_package(tree: &Tree, folder: &str) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    for root in ["src/lib.rs", "src/main.rs", "tests/main.rs"] {
        reach(tree, &format!("{folder}/{root}"), &mut reached);
    }
    let source = tree
        .below(&format!("{folder}/src"))
        .filter(|file| !is_program(file));
    let files = source.chain(tree.below(&format!("{folder}/tests")));
    let forgotten = files.filter(|file| file.is("rs") && !reached.contains(&file.path));
    forgotten
        .map(|file| Finding::of(&file.path, "no `mod` line leads here"))
        .collect()
}

/// Programs in `src/bin` are roots of their own.
fn is_program(file: &SourceFile) -> bool {
    file.path.contains("/src/bin/")
}

fn reach(tree: &Tree, path: &str, reached: &mut BTreeSet<String>) {
    let Some(file) = tree.find(path) else { return };
    if !reached.insert(path.to_owned()) {
        return;
    }
    // A file that is not Rust is a finding of another rule.
    let Ok(syntax) = syn::parse_file(&file.text) else {
        return;
    };
    let mut children = Vec::new();
    collect(&syntax.items, &folder_of_children(path), &mut children);
    for child in children {
        reach(tree, &child, reached);
    }
}

/// Where a file's modules lie: beside a root, in a folder of its name for any other.
fn folder_of_children(path: &str) -> String {
    let stem = path.trim_end_matches(".rs");
    match stem.rsplit_once('/') {
        Some((folder, "lib" | "main")) => folder.into(),
        _ => stem.into(),
    }
}

fn collect(items: &[Item], folder: &str, children: &mut Vec<String>) {
    for item in items {
        let Item::Mod(module) = item else { continue };
        let name = &module.ident;
        match &module.content {
            Some((_, inner)) => collect(inner, &format!("{folder}/{name}"), children),
            None => children.push(format!("{folder}/{name}.rs")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let manifest = SourceFile::sample("crates/disk/Cargo.toml", "[package]\n");
        let files = files
            .iter()
            .map(|(path, text)| SourceFile::sample(path, text));
        let findings = check(&Tree {
            files: [manifest].into_iter().chain(files).collect(),
        });
        findings.into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn files_with_a_mod_line_pass() {
        let findings = found(&[
            ("crates/disk/src/lib.rs", "mod raw;"),
            (
                "crates/disk/src/raw.rs",
                "mod read; #[cfg(test)] mod tests;",
            ),
            ("crates/disk/src/raw/read.rs", ""),
            ("crates/disk/src/raw/tests.rs", ""),
            (
                "crates/disk/tests/main.rs",
                "mod reads; mod suite { mod holes; }",
            ),
            ("crates/disk/tests/reads.rs", ""),
            ("crates/disk/tests/suite/holes.rs", ""),
            ("crates/disk/tests/golden/disk.json", "{}"),
        ]);
        assert!(findings.is_empty(), "{findings:?}");
    }

    #[test]
    fn one_test_binary_passes_and_more_are_refused() {
        let of = |tests: &[&str]| Crate {
            folder: "crates/disk".into(),
            package: "lifeboat-disk".into(),
            uses: Vec::new(),
            tests: tests.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(check_test_binaries(&[of(&["main"]), of(&[])]), []);
        assert_eq!(check_test_binaries(&[of(&["main", "reads"])]).len(), 1);
    }

    #[test]
    fn forgotten_files_are_refused() {
        let findings = found(&[
            ("crates/disk/src/lib.rs", ""),
            ("crates/disk/src/raw.rs", ""),
            ("crates/disk/tests/reads.rs", ""),
        ]);
        assert_eq!(
            findings,
            ["crates/disk/src/raw.rs", "crates/disk/tests/reads.rs"]
        );
    }
}
