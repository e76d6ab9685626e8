//! Which crate may use which: the picture of DESIGN as a table.

use std::collections::BTreeSet;

use super::Finding;
use super::metadata::{Crate, Use};
use super::tree::Tree;

/// Every crate and what it may name as a dependency. A crate that is not here is refused, so
/// that a new one begins with a line in this table.
const EDGES: [(&str, &[&str]); 31] = [
    ("model", &[]),
    ("sha256", &[]),
    ("format", &["model", "sha256"]),
    ("chunker", &["model"]),
    ("policy", &["model"]),
    ("config", &["model", "policy"]),
    ("backend", &["model"]),
    ("disk", &["model"]),
    ("nbd", &["model"]),
    ("platform", &["model", "disk"]),
    ("libvirt", &["model", "disk", "nbd", "platform"]),
    ("lvm", &["model", "disk", "platform"]),
    ("ovirt", &["model", "disk", "platform"]),
    ("opennebula", &["model", "disk", "platform"]),
    ("mariadb", &["model"]),
    ("files", &["model"]),
    ("repository", &["model", "format", "backend"]),
    ("rescue", &["model"]),
    ("mount", &["model", "rescue"]),
    (
        "engine",
        &[
            "model",
            "format",
            "chunker",
            "backend",
            "disk",
            "repository",
        ],
    ),
    ("notify", &["model"]),
    ("catalog", &["model"]),
    (
        "scheduler",
        &["model", "policy", "config", "catalog", "notify"],
    ),
    (
        "control",
        &[
            DATA_PLANE, "nbd", "rescue", "catalog", "platform", "mariadb", "files",
        ],
    ),
    ("api", &["model"]),
    (
        "server",
        &["model", "policy", "config", "catalog", "scheduler", "api"],
    ),
    (
        "cli",
        &[
            DATA_PLANE,
            "nbd",
            "platform",
            "rescue",
            "mount",
            "config",
            "control",
            "catalog",
            "scheduler",
            "notify",
            "api",
        ],
    ),
    ("app", &[EVERYTHING]),
    (
        "testkit",
        &[
            "model", "format", "chunker", "policy", "backend", "disk", "platform",
        ],
    ),
    (
        "fuzzing",
        &[
            "model",
            "format",
            "policy",
            "config",
            "backend",
            "disk",
            "nbd",
            "repository",
            "engine",
            "rescue",
        ],
    ),
    ("xtask", &[]),
];

/// Stands for every crate but the ones that only tests may use.
const EVERYTHING: &str = "*";
/// The pure row, the doors of storage and the engine's row.
const DATA_PLANE: &str = "model sha256 format chunker policy backend disk repository engine";

/// The folder of the program, whose package is called like the product.
const PROGRAM: &str = "app";

/// Crates that only tests may use.
const ONLY_TESTS: [&str; 1] = ["testkit"];

/// What tests use beside what their crate reaches: whoever judges retention plays it on real
/// repositories.
const OF_TESTS: [(&str, &[&str]); 1] = [("scheduler", &[DATA_PLANE])];

/// Refuses edges that the table does not have.
pub(crate) fn check(crates: &[Crate]) -> Vec<Finding> {
    crates.iter().flat_map(check_crate).collect()
}

/// Refuses a package outside of the table's shape and a folder without code.
pub(crate) fn check_folders(crates: &[Crate], tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<_> = crates.iter().filter_map(check_package_name).collect();
    findings.extend(
        crates
            .iter()
            .filter(|it| !has_code(tree, &it.folder))
            .map(|it| {
                Finding::of(
                    &it.folder,
                    "has no code yet: create a crate with its first code",
                )
            }),
    );
    let known: BTreeSet<_> = crates.iter().map(|it| it.folder.as_str()).collect();
    findings.extend(folders_below_crates(tree).into_iter().filter_map(|folder| {
        let missing = !known.contains(folder.as_str());
        missing.then(|| Finding::of(&folder, "is no package of the workspace"))
    }));
    findings
}

fn check_crate(it: &Crate) -> Vec<Finding> {
    let Some(allowed) = allowed(it.name()) else {
        let text = "is not in the table of crates: add it with what it may use (xtask, tidy/edges)";
        return vec![Finding::of(&it.folder, text)];
    };
    let refused = it
        .uses
        .iter()
        .filter(|edge| !is_allowed(it.name(), edge, &allowed));
    refused
        .map(|edge| Finding::of(&it.folder, complaint(edge, &allowed)))
        .collect()
}

fn complaint(edge: &Use, allowed: &BTreeSet<&str>) -> String {
    let kind = if edge.only_tests {
        "tests may not use"
    } else {
        "may not use"
    };
    let list: Vec<_> = allowed.iter().copied().collect();
    format!("{kind} `{}`; allowed: {}", edge.name, list.join(", "))
}

/// Tests may also use what their crate reaches through others, and the test kit.
fn is_allowed(user: &str, edge: &Use, allowed: &BTreeSet<&str>) -> bool {
    let name = edge.name.as_str();
    if ONLY_TESTS.contains(&name) {
        return edge.only_tests;
    }
    let everything = allowed.contains(EVERYTHING);
    let of_tests = OF_TESTS.iter().filter(|(name, _)| *name == user);
    let mut of_tests = of_tests.flat_map(|(_, words)| *words);
    if edge.only_tests && of_tests.any(|words| words.split(' ').any(|it| it == name)) {
        return true;
    }
    everything || allowed.contains(name) || edge.only_tests && reached(user).contains(name)
}

fn allowed(name: &str) -> Option<BTreeSet<&'static str>> {
    let (_, allowed) = EDGES.iter().find(|(user, _)| *user == name)?;
    Some(allowed.iter().flat_map(|words| words.split(' ')).collect())
}

fn reached(user: &str) -> BTreeSet<&'static str> {
    let mut reached = allowed(user).unwrap_or_default();
    for name in reached.clone() {
        reached.append(&mut self::reached(name));
    }
    reached
}

fn check_package_name(it: &Crate) -> Option<Finding> {
    let name = it.name();
    let expected = match it.folder.strip_prefix("crates/") {
        Some(name) if name == PROGRAM => "lifeboat".to_owned(),
        Some(name) => format!("lifeboat-{name}"),
        None => name.to_owned(),
    };
    let text = format!("package `{}` should be called `{expected}`", it.package);
    (it.package != expected).then(|| Finding::of(&it.folder, text))
}

fn has_code(tree: &Tree, folder: &str) -> bool {
    let source = format!("{folder}/src");
    let is_code = |line: &str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("//")
    };
    tree.below(&source)
        .any(|file| file.is("rs") && file.text.lines().any(is_code))
}

fn folders_below_crates(tree: &Tree) -> BTreeSet<String> {
    let names = tree
        .below("crates")
        .filter_map(|file| file.path.split('/').nth(1));
    names.map(|name| format!("crates/{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::SourceFile;
    use super::*;

    fn user(name: &str, uses: &[(&str, bool)]) -> Crate {
        let edge = |&(name, only_tests): &(&str, bool)| Use {
            name: name.into(),
            only_tests,
        };
        Crate {
            folder: format!("crates/{name}"),
            package: format!("lifeboat-{name}"),
            uses: uses.iter().map(edge).collect(),
            tests: Vec::new(),
        }
    }

    #[test]
    fn edges_of_the_picture_pass() {
        let engine = user(
            "engine",
            &[("repository", false), ("disk", false), ("testkit", true)],
        );
        let app = user("app", &[("cli", false), ("libvirt", false)]);
        let cli = user("cli", &[("engine", false), ("api", false)]);
        assert_eq!(check(&[engine, app, cli]), []);
    }

    #[test]
    fn edges_upward_or_sideways_are_refused() {
        for (name, used) in [
            ("model", "format"),
            ("disk", "backend"),
            ("engine", "cli"),
            ("cli", "server"),
        ] {
            let findings = check(&[user(name, &[(used, false)])]);
            assert_eq!(findings.len(), 1, "{name} -> {used}");
            assert!(findings[0].text.contains(&format!("may not use `{used}`")));
        }
    }

    #[test]
    fn the_test_kit_stays_in_tests() {
        assert_eq!(check(&[user("app", &[("testkit", false)])]).len(), 1);
        assert_eq!(check(&[user("model", &[("testkit", true)])]), []);
    }

    #[test]
    fn tests_may_use_what_their_crate_reaches() {
        assert_eq!(check(&[user("platform", &[("disk", true)])]), []);
        assert_eq!(check(&[user("disk", &[("backend", true)])]).len(), 1);
    }

    #[test]
    fn the_data_plane_stays_in_tests_of_the_scheduler() {
        assert_eq!(check(&[user("scheduler", &[("engine", true)])]), []);
        assert_eq!(check(&[user("scheduler", &[("engine", false)])]).len(), 1);
        assert_eq!(check(&[user("catalog", &[("engine", true)])]).len(), 1);
    }

    #[test]
    fn an_unknown_crate_is_refused() {
        assert_eq!(check(&[user("surprise", &[])]).len(), 1);
    }

    #[test]
    fn folders_need_code_and_their_name() {
        let file = |path: &str, text: &str| SourceFile::sample(path, text);
        let tree = Tree {
            files: vec![
                file("crates/disk/src/lib.rs", "//! Head.\n// Only a comment.\n"),
                file("crates/model/src/lib.rs", "//! Head.\npub fn f() {}\n"),
                file("crates/stray/notes.txt", "nothing\n"),
            ],
        };
        let mut misnamed = user("model", &[]);
        misnamed.package = "model".into();
        let findings = check_folders(&[user("disk", &[]), misnamed], &tree);
        let texts: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts[0].starts_with("crates/model: package"));
        assert!(texts[1].starts_with("crates/disk: has no code"));
        assert!(texts[2].starts_with("crates/stray: is no package"));
    }
}
