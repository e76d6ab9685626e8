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
    let names: [&[u8]; 12] = [
        b"..",
        b".",
        b"",
        b"/",
        b"a/b",
        b"../outside/guard",
        b"/tmp/lifeboat-evil",
        b"a\0b",
        b"..\0",
        b"x/../../outside/guard",
        b"./x",
        b"../",
    ];
    let mut nodes: Vec<Node> = names.iter().map(|name| world.file(name, &evil)).collect();
    nodes.extend(
        names
            .iter()
            .map(|name| world.folder(name, &[world.file(b"guard", &evil)])),
    );
    nodes.extend(names.iter().map(|name| symlink(name, "guard")));
    nodes.push(world.file(b"good", &[b"good".to_vec()]));
    let root = world.tree(&nodes);
    for existing in ALL {
        let place = Place::new();
        let result = world.restore(&root, &place.target, existing);
        assert_eq!(
            count(&result.findings, FindingKind::Refused),
            3 * names.len() as u64
        );
        assert_eq!(fs::read_dir(&place.target).unwrap().count(), 1);
        assert_eq!(fs::read(place.target.join("good")).unwrap(), b"good");
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
