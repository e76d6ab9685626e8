//! Every crate says at its head what it does, and what it does not do.

use super::Finding;
use super::tree::{SourceFile, Tree};

/// Refuses a `lib.rs` or `main.rs` without such a head.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let folders = tree.package_folders();
    let paths = folders
        .iter()
        .flat_map(|folder| ["lib.rs", "main.rs"].map(|name| format!("{folder}/src/{name}")));
    paths
        .filter_map(|path| check_head(tree.find(&path)?))
        .collect()
}

fn check_head(file: &SourceFile) -> Option<Finding> {
    let lines = file.text.lines().map_while(|line| line.strip_prefix("//!"));
    let head = lines.collect::<String>().to_lowercase();
    if head.is_empty() {
        return Some(Finding::of(
            &file.path,
            "has no `//!` head: say the crate's duty",
        ));
    }
    let text = "its head has no sentence on what it does not do (\"Does not ...\")";
    (!head.contains("does not")).then(|| Finding::of(&file.path, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        let manifest = SourceFile::sample("crates/disk/Cargo.toml", "[package]\n");
        let lib = SourceFile::sample("crates/disk/src/lib.rs", text);
        check(&Tree {
            files: vec![manifest, lib],
        })
        .len()
    }

    #[test]
    fn a_head_with_its_absence_passes() {
        assert_eq!(
            found("//! Reads disks.\n//!\n//! Does not know machines.\n\nmod raw;\n"),
            0
        );
    }

    #[test]
    fn no_head_or_no_absence_is_refused() {
        assert_eq!(found("mod raw;\n"), 1);
        assert_eq!(
            found("//! Reads disks.\n\n// Does not count.\nmod raw;\n"),
            1
        );
    }
}
