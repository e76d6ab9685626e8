//! A library without unit tests is not built a second time to hold none; one with tests runs them.

use super::Finding;
use super::tree::{SourceFile, Tree};

/// What a manifest says of a library that has no unit tests.
const OFF: &str = "[lib]\ntest = false\n";

/// Compares what manifests say with what libraries have.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let folders = tree.package_folders();
    let of_folder = |folder: &String| {
        tree.find(&format!("{folder}/src/lib.rs"))?;
        let manifest = tree.find(&format!("{folder}/Cargo.toml"))?;
        let has_tests = tree.below(&format!("{folder}/src")).any(is_tested);
        let text = match (has_tests, manifest.text.contains(OFF)) {
            (true, true) => "its `test = false` keeps unit tests from running: remove it",
            (false, false) => {
                "has no unit tests and builds a program for them: write [lib] test = false"
            }
            _ => return None,
        };
        Some(Finding::of(&manifest.path, text))
    };
    folders.iter().filter_map(of_folder).collect()
}

fn is_tested(file: &SourceFile) -> bool {
    file.is("rs")
        && ["#[test]", "proptest!"]
            .iter()
            .any(|it| file.text.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(manifest: &str, lib: &str) -> usize {
        let files = [("Cargo.toml", manifest), ("src/lib.rs", lib)];
        let sample =
            |(name, text): (&str, &str)| SourceFile::sample(&format!("crates/disk/{name}"), text);
        let files = files.into_iter().map(sample).collect();
        check(&Tree { files }).len()
    }

    #[test]
    fn tests_are_built_where_there_are_some() {
        let (on, off) = ("[package]\n", "[package]\n\n[lib]\ntest = false\n\n");
        let (with, without) = ("#[test]\nfn reads() {}\n", "fn read() {}\n");
        assert_eq!([found(on, with), found(off, without)], [0, 0]);
        assert_eq!([found(on, without), found(off, with)], [1, 1]);
    }
}
