use std::fs;
use std::os::unix::fs::symlink as make_symlink;
use std::path::Path;

use super::*;

/// A target beside a folder that must stay as it is.
struct Place {
    _all: tempfile::TempDir,
    target: std::path::PathBuf,
    outside: std::path::PathBuf,
}

impl Place {
    fn new() -> Self {
        let all = tempfile::tempdir().unwrap();
        let (target, outside) = (all.path().join("target"), all.path().join("outside"));
        fs::create_dir(&target).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("guard"), b"untouched").unwrap();
        Self {
            _all: all,
            target,
            outside,
        }
    }

    fn assert_untouched(&self) {
        let names: Vec<_> = fs::read_dir(&self.outside)
            .unwrap()
            .map(|e| e.unwrap())
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
        assert_eq!(fs::read(self.outside.join("guard")).unwrap(), b"untouched");
        let beside = fs::read_dir(self.target.parent().unwrap()).unwrap().count();
        assert_eq!(beside, 2, "something was written beside the target");
    }
}

const ALL: [ExistingFiles; 3] = [
    ExistingFiles::Refuse,
    ExistingFiles::Replace,
    ExistingFiles::InPlace,
];

#[test]
fn names_that_are_not_plain_are_refused() {
    let world = World::new();
    let evil = vec![b"evil".to_vec()];
    let names = hostile_names();
    assert!(names.len() * 4 >= 300, "{} names", names.len());
    let guard = [world.file(b"guard", &evil)];
    let (file, folder) = (world.file(b"x", &evil), world.folder(b"x", &guard));
    let kinds = [
        file,
        folder,
        symlink(b"x", "guard"),
        Node::new(b"x", NodeKind::Fifo),
    ];
    let mut nodes: Vec<Node> = Vec::new();
    for kind in &kinds {
        let named = names.iter().map(|name| Node {
            name: name.clone(),
            ..kind.clone()
        });
        nodes.extend(named);
    }
    nodes.push(world.file(b"good", &[b"good".to_vec()]));
    let root = world.tree(&nodes);
    for existing in ALL {
        let place = Place::new();
        let result = world.restore(&root, &place.target, existing);
        assert_eq!(
            count(&result.findings, FindingKind::Refused),
            4 * names.len() as u64
        );
        assert_eq!(fs::read_dir(&place.target).unwrap().count(), 1);
        assert_eq!(fs::read(place.target.join("good")).unwrap(), b"good");
        place.assert_untouched();
    }
}

/// Names that lead elsewhere, or that no folder can hold.
fn hostile_names() -> Vec<Vec<u8>> {
    let begins = [
        "",
        ".",
        "..",
        "/",
        "../outside",
        "a",
        "/tmp/x",
        "./",
        "../../etc",
        "\u{e4}",
    ];
    let ends = [
        "",
        "/",
        "/..",
        "\0",
        "/guard",
        "//",
        "/../outside/guard",
        "\0/x",
        "/.",
        "\n/",
    ];
    let all = begins.iter().flat_map(|begin| {
        ends.iter()
            .map(move |end| [*begin, *end].concat().into_bytes())
    });
    let is_plain = |name: &[u8]| {
        !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
    };
    let mut names: Vec<Vec<u8>> = all.filter(|name| !is_plain(name)).collect();
    names.sort();
    names.dedup();
    names
}

/// A tree of few names, so that they meet: links, folders and files in each other's places.
fn chance_tree(world: &World, chance: &SeededEntropy, outside: &str, depth: u32) -> BlobId {
    let names: [&[u8]; 6] = [b"a", b"b", b"guard", b"..", b".a.lifeboat-part", b"x/y"];
    let mut nodes = Vec::new();
    for _ in 0..1 + chance.below(5) {
        let name = names[chance.below(6) as usize];
        nodes.push(match chance.below(4) {
            0 if depth > 0 => Node {
                subtree: Some(chance_tree(world, chance, outside, depth - 1)),
                ..Node::new(name, NodeKind::Dir)
            },
            1 => symlink(name, outside),
            2 => symlink(
                name,
                ["..", "a", "../outside", "/"][chance.below(4) as usize],
            ),
            _ => Node {
                inode: chance.below(2),
                links: 2,
                ..world.file(name, &[b"evil".to_vec()])
            },
        });
    }
    world.tree(&nodes)
}

#[test]
fn no_tree_over_any_target_leaves_it() {
    let world = World::new();
    let chance = SeededEntropy::new(59);
    for round in 0..100 {
        let place = Place::new();
        let outside = place.outside.to_str().unwrap();
        let link = [
            outside.to_owned(),
            format!("{outside}/guard"),
            "..".to_owned(),
        ];
        for name in [
            "a",
            "b",
            "guard",
            ".a.lifeboat-part",
            ".b.lifeboat-restoring",
        ] {
            let path = place.target.join(name);
            match chance.below(4) {
                0 => make_symlink(&link[chance.below(3) as usize], path).unwrap(),
                1 => fs::hard_link(place.outside.join("guard"), path).unwrap(),
                2 => {
                    fs::create_dir(&path).unwrap();
                    make_symlink(&link[chance.below(3) as usize], path.join("a")).unwrap();
                }
                _ => {}
            }
        }
        let root = chance_tree(&world, &chance, outside, 3);
        let existing = ALL[round % 3];
        let plan = world.plan(&root, &place.target, existing);
        let applied = world.apply(&plan);
        assert_eq!(applied.is_err(), !plan.conflicts.is_empty());
        place.assert_untouched();
    }
}

#[test]
fn a_link_and_a_folder_of_one_name_are_refused() {
    let world = World::new();
    for order in [false, true] {
        let place = Place::new();
        let outside = place.outside.to_str().unwrap();
        let mut nodes = vec![
            symlink(b"a", outside),
            world.folder(b"a", &[world.file(b"guard", &[b"evil".to_vec()])]),
        ];
        if order {
            nodes.reverse();
        }
        let root = world.tree(&nodes);
        let result = world.restore(&root, &place.target, ExistingFiles::Replace);
        assert_eq!(count(&result.findings, FindingKind::Refused), 2);
        assert!(fs::symlink_metadata(place.target.join("a")).is_err());
        place.assert_untouched();
    }
}

#[test]
fn links_in_the_target_are_not_followed() {
    let world = World::new();
    let evil = [b"evil".to_vec()];
    let nodes = [
        world.file(b"file", &evil),
        world.folder(b"folder", &[world.file(b"guard", &evil)]),
        symlink(b"link", "elsewhere"),
    ];
    let root = world.tree(&nodes);
    for existing in [ExistingFiles::Replace, ExistingFiles::InPlace] {
        let place = Place::new();
        make_symlink(place.outside.join("guard"), place.target.join("file")).unwrap();
        make_symlink(&place.outside, place.target.join("folder")).unwrap();
        make_symlink(place.outside.join("guard"), place.target.join("link")).unwrap();
        make_symlink(
            place.outside.join("guard"),
            place.target.join(".file.lifeboat-part"),
        )
        .unwrap();
        let result = world.restore(&root, &place.target, existing);
        assert_eq!(
            count(&result.findings, FindingKind::Failed),
            1,
            "{:?}",
            result.findings
        );
        assert_eq!(fs::read(place.target.join("file")).unwrap(), b"evil");
        assert!(
            fs::symlink_metadata(place.target.join("file"))
                .unwrap()
                .is_file()
        );
        let link = fs::read_link(place.target.join("link")).unwrap();
        assert_eq!(link, Path::new("elsewhere"));
        place.assert_untouched();
    }
    let place = Place::new();
    make_symlink(&place.outside, place.target.join("folder")).unwrap();
    let plan = world.plan(&root, &place.target, ExistingFiles::Refuse);
    assert_eq!(plan.conflicts, ["/folder"]);
    assert!(world.apply(&plan).is_err());
    place.assert_untouched();
}

#[test]
fn a_file_with_a_name_outside_is_not_changed_in_place() {
    let world = World::new();
    let root = world.tree(&[world.file(b"file", &[b"EVIL-CONTENT".to_vec()])]);
    for existing in [ExistingFiles::Replace, ExistingFiles::InPlace] {
        for name in ["file", ".file.lifeboat-part"] {
            let place = Place::new();
            fs::hard_link(place.outside.join("guard"), place.target.join(name)).unwrap();
            world.restore(&root, &place.target, existing);
            assert_eq!(
                fs::read(place.target.join("file")).unwrap(),
                b"EVIL-CONTENT"
            );
            place.assert_untouched();
        }
    }
}

#[test]
fn a_folder_exchanged_for_a_link_between_plan_and_apply_is_not_followed() {
    let world = World::new();
    let files = [world.file(b"guard", &[b"evil".to_vec()])];
    let root = world.tree(&[world.folder(b"folder", &files)]);
    for existing in ALL {
        let place = Place::new();
        fs::create_dir(place.target.join("folder")).unwrap();
        let plan = world.plan(&root, &place.target, existing);
        fs::remove_dir(place.target.join("folder")).unwrap();
        make_symlink(&place.outside, place.target.join("folder")).unwrap();
        let result = world.apply(&plan).unwrap();
        assert!(result.findings.fault_count() > 0);
        place.assert_untouched();
    }
}

#[test]
fn work_names_cannot_be_taken_by_the_snapshot() {
    let world = World::new();
    let place = Place::new();
    let outside = place.outside.join("guard");
    let nodes = [
        symlink(b".file.lifeboat-part", outside.to_str().unwrap()),
        world.file(b".other.lifeboat-part", &[b"plain".to_vec()]),
        world.file(b"file", &[b"content".to_vec()]),
    ];
    let root = world.tree(&nodes);
    let result = world.restore(&root, &place.target, ExistingFiles::Refuse);
    assert_eq!(count(&result.findings, FindingKind::Refused), 1);
    assert_eq!(fs::read(place.target.join("file")).unwrap(), b"content");
    assert_eq!(
        fs::read(place.target.join(".other.lifeboat-part")).unwrap(),
        b"plain"
    );
    place.assert_untouched();
}

#[test]
fn nesting_has_an_end() {
    let world = World::new();
    let mut trees = vec![json(&[])];
    for _ in 0..5000 {
        let below = BlobId::of(trees.last().unwrap());
        let node = Node {
            mode: 1 << 31 | 0o755,
            subtree: Some(below),
            ..Node::new(b"d", NodeKind::Dir)
        };
        trees.push(json(&[node]));
    }
    let ids = world.put(BlobKind::Tree, &trees);
    let place = Place::new();
    let result = world.restore(ids.last().unwrap(), &place.target, ExistingFiles::Refuse);
    assert_eq!(count(&result.findings, FindingKind::Refused), 1);
    place.assert_untouched();
}

#[test]
fn hard_links_to_what_was_not_restored_are_not_made() {
    let world = World::new();
    let linked = |name: &[u8], content: &[u8]| Node {
        inode: 7,
        links: 2,
        ..world.file(name, &[content.to_vec()])
    };
    let place = Place::new();
    let root = world.tree(&[linked(b"../outside/guard", b"x"), linked(b"b", b"x")]);
    world.restore(&root, &place.target, ExistingFiles::Refuse);
    assert_eq!(fs::read(place.target.join("b")).unwrap(), b"x");
    place.assert_untouched();
    // One inode with two contents: both contents come back.
    let place = Place::new();
    let root = world.tree(&[linked(b"a", b"one"), linked(b"b", b"two")]);
    world.restore(&root, &place.target, ExistingFiles::Refuse);
    assert_eq!(fs::read(place.target.join("a")).unwrap(), b"one");
    assert_eq!(fs::read(place.target.join("b")).unwrap(), b"two");
}
