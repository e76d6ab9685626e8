use std::fs;

use lifeboat_engine::files::occupy;
use lifeboat_model::ErrorKind;

use super::*;

#[test]
fn a_second_restore_is_told_to_wait() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("new/target");
    let first = occupy(&target).unwrap();
    let second = occupy(&target).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Busy);
    assert!(second.to_string().contains("another restore"), "{second}");
    let other = occupy(&place.path().join("new/other")).unwrap();
    drop((first, other));
    assert!(!target.exists(), "a folder made for nothing goes again");
    drop(occupy(&target).unwrap());
}

#[test]
fn a_folder_with_something_in_it_stays() {
    let world = World::new();
    let root = world.tree(&[world.file(b"a", &[noise(1, 5000)])]);
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("target");
    {
        let _occupied = occupy(&target).unwrap();
        world.restore(&root, &target, ExistingFiles::Refuse);
    }
    assert_eq!(fs::read(target.join("a")).unwrap(), noise(1, 5000));
    fs::create_dir(place.path().join("empty")).unwrap();
    drop(occupy(&place.path().join("empty")).unwrap());
    assert!(place.path().join("empty").exists(), "it was there before");
}
