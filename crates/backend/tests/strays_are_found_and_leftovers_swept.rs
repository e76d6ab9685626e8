//! What does not belong is told, never used, and only dead work files are removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use lifeboat_backend::{Backend, FileKind, LEFTOVER_AGE_MIN, Local, RESERVE_NAME, StrayKind};
use lifeboat_model::ErrorKind;
use lifeboat_testkit::FixedClock;

use crate::pack;

fn repository(place: &Path) -> Local {
    let local = Local::open(place).unwrap();
    local.create().unwrap();
    local.save(pack(1), b"pack").unwrap();
    local
}

fn found(local: &Local) -> Vec<(PathBuf, StrayKind)> {
    let strays = local.strays().unwrap();
    strays
        .into_iter()
        .map(|stray| (stray.path, stray.kind))
        .collect()
}

#[test]
fn a_sound_repository_has_none() {
    let place = tempfile::tempdir().unwrap();
    assert_eq!(found(&repository(place.path())), []);
}

#[test]
fn strays_are_told_with_their_reason_and_not_listed() {
    let place = tempfile::tempdir().unwrap();
    let local = repository(place.path());
    let hex = pack(0xAB).id.to_string();
    let upper = hex.to_uppercase();
    let files = [
        format!("data/00/{hex}"),
        format!("data/ab/{upper}"),
        format!("data/{hex}"),
        "data/00/.x.1-0.lifeboat-part".to_owned(),
        "index/readme".to_owned(),
        format!("{hex}-tmp-123"),
        "locks/".to_owned() + &hex[..63],
    ];
    for file in &files {
        fs::write(place.path().join(file), b"stray").unwrap();
    }
    fs::create_dir(place.path().join("data/0g")).unwrap();
    fs::create_dir(place.path().join(format!("keys/{hex}"))).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", place.path().join(format!("data/ab/{hex}"))).unwrap();
    let id = pack(0xAB).id;
    let mut expected = vec![
        (files[0].clone(), StrayKind::WrongPlace(id)),
        (files[1].clone(), StrayKind::UnknownName),
        (files[2].clone(), StrayKind::WrongPlace(id)),
        (files[3].clone(), StrayKind::Leftover),
        (files[4].clone(), StrayKind::UnknownName),
        (files[5].clone(), StrayKind::UnknownName),
        (files[6].clone(), StrayKind::UnknownName),
        ("data/0g".to_owned(), StrayKind::UnknownName),
        (format!("keys/{hex}"), StrayKind::NotAFile),
        (format!("data/ab/{hex}"), StrayKind::NotAFile),
    ];
    expected.sort();
    let mut seen: Vec<_> = found(&local)
        .into_iter()
        .map(|(path, kind)| (path.display().to_string(), kind))
        .collect();
    seen.sort();
    assert_eq!(seen, expected);
    for kind in FileKind::ALL {
        let count = usize::from(kind == FileKind::Pack);
        assert_eq!(local.list(kind).unwrap().len(), count, "{kind}");
    }
}

#[test]
fn only_old_work_files_are_swept() {
    let place = tempfile::tempdir().unwrap();
    let local = repository(place.path());
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let files = [
        (
            "data/00/.old.lifeboat-part",
            LEFTOVER_AGE_MIN + Duration::from_secs(1),
        ),
        (".config.old.lifeboat-part", LEFTOVER_AGE_MIN * 9),
        (
            "keys/.young.lifeboat-part",
            LEFTOVER_AGE_MIN - Duration::from_secs(1),
        ),
        ("keys/old-but-foreign", LEFTOVER_AGE_MIN * 9),
    ];
    for (path, age) in files {
        let file = fs::File::create(place.path().join(path)).unwrap();
        file.set_modified(now - age).unwrap();
    }
    let clock = FixedClock(Timestamp::try_from(now).unwrap());
    let mut swept = local.sweep_leftovers(&clock, LEFTOVER_AGE_MIN).unwrap();
    swept.sort();
    assert_eq!(swept, [Path::new(files[1].0), Path::new(files[0].0)]);
    for (path, _) in files {
        let is_swept = swept.contains(&PathBuf::from(path));
        assert_eq!(place.path().join(path).exists(), !is_swept, "{path}");
    }
    assert_eq!(
        local.sweep_leftovers(&clock, LEFTOVER_AGE_MIN).unwrap(),
        [""; 0].map(PathBuf::from)
    );
}

/// A writer that was killed: the name of its work file tells that it runs no more.
#[test]
fn work_files_of_dead_writers_are_swept_at_any_age() {
    let place = tempfile::tempdir().unwrap();
    let local = repository(place.path());
    let mut dead = Command::new("true").spawn().unwrap();
    let pid = dead.id();
    dead.wait().unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let boot = boot.trim().replace('-', "");
    let space = fs::read_link("/proc/self/ns/pid").unwrap();
    let space: String = space
        .to_str()
        .unwrap()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let space = format!("{}{:x}", &boot[..12], space.parse::<u64>().unwrap());
    let names = |pid: u32, space: &str| {
        ["data/00", "locks"].map(|at| format!("{at}/.x.{space}-{pid:x}-0.lifeboat-part"))
    };
    let (gone, here) = (names(pid, &space), names(std::process::id(), &space));
    let elsewhere = names(pid, "0123456789ab1");
    for name in gone.iter().chain(&here).chain(&elsewhere) {
        fs::write(place.path().join(name), b"half").unwrap();
    }
    let clock = FixedClock(Timestamp::now());
    let upkeep = local.upkeep().unwrap();
    assert_eq!(upkeep.sweep(Some(FileKind::Lock), &clock).unwrap(), 1);
    assert!(
        place.path().join(&gone[0]).exists(),
        "only beside the locks"
    );
    assert_eq!(upkeep.sweep(None, &clock).unwrap(), 1);
    let is_there = |name: &String| place.path().join(name).exists();
    assert!(!gone.iter().any(is_there));
    assert!(here.iter().chain(&elsewhere).all(is_there));
}

#[test]
fn a_reserve_is_held_once_and_given_up() {
    let place = tempfile::tempdir().unwrap();
    let local = repository(place.path());
    let upkeep = local.upkeep().unwrap();
    assert!(!upkeep.give_up_reserve().unwrap());
    for (wanted, held) in [(100_000, 100_000), (50_000, 100_000), (200_001, 200_001)] {
        upkeep.hold_reserve(wanted).unwrap();
        let size = fs::metadata(place.path().join(RESERVE_NAME)).unwrap().len();
        assert_eq!(size, held);
    }
    assert_eq!(found(&local), [], "it belongs there");
    assert!(upkeep.give_up_reserve().unwrap());
    assert!(!place.path().join(RESERVE_NAME).exists());
}

#[test]
fn a_place_that_is_not_mounted_is_not_empty() {
    let place = tempfile::tempdir().unwrap();
    let absent = Local::open(&place.path().join("absent")).unwrap();
    let unmounted = Local::open(place.path()).unwrap();
    for local in [&absent, &unmounted] {
        for kind in FileKind::ALL {
            assert_eq!(
                local.list(kind).unwrap_err().kind(),
                ErrorKind::NotFound,
                "{kind}"
            );
        }
        assert_eq!(local.strays().unwrap_err().kind(), ErrorKind::NotFound);
        let error = local.save(pack(1), b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().contains("mount the file system"),
            "{error}"
        );
    }
    assert_eq!(
        fs::read_dir(place.path()).unwrap().count(),
        0,
        "nothing was made"
    );
}
