//! Snapshots and locks are written in restic's shape and keep what others added.

use lifeboat_format::{BlobId, GoTime, LockFile, SnapshotFile, Summary};
use lifeboat_model::ErrorKind;

fn full() -> SnapshotFile {
    let time: GoTime = "2026-01-02T03:04:05.067+01:00".parse().unwrap();
    let mut snapshot = SnapshotFile::new(time);
    snapshot.tree = BlobId::of(b"tree");
    snapshot.parent = Some(BlobId::of(b"parent").id().into());
    snapshot.original = Some(BlobId::of(b"original").id().into());
    snapshot.paths = vec!["/web <01>".into()];
    snapshot.hostname = "web <01>".into();
    snapshot.username = "root".into();
    (snapshot.uid, snapshot.gid) = (1, 2);
    snapshot.excludes = vec!["*.tmp".into()];
    snapshot.tags = vec!["a&b".into(), "\u{2028}".into()];
    snapshot.program_version = "lifeboat 0.1.0".into();
    snapshot.summary = Some(Summary {
        backup_start: time,
        data_blobs: 3,
        ..Summary::default()
    });
    snapshot
}

#[test]
fn fields_come_in_restics_order() {
    let text = String::from_utf8(full().encode()).unwrap();
    let mut rest = &text[..];
    for key in [
        "time",
        "parent",
        "tree",
        "paths",
        "hostname",
        "username",
        "uid",
        "gid",
        "excludes",
        "tags",
        "original",
        "program_version",
        "summary",
        "backup_start",
        "backup_end",
        "files_new",
        "files_changed",
        "files_unmodified",
        "dirs_new",
        "dirs_changed",
        "dirs_unmodified",
        "data_blobs",
        "tree_blobs",
        "data_added",
        "data_added_packed",
        "total_files_processed",
        "total_bytes_processed",
    ] {
        let at = rest
            .find(&format!("\"{key}\":"))
            .unwrap_or_else(|| panic!("{key} in {text}"));
        rest = &rest[at + key.len()..];
    }
    assert!(text.contains(r#""tags":["a\u0026b","\u2028"]"#), "{text}");
    assert!(
        text.contains(r#""time":"2026-01-02T03:04:05.067+01:00""#),
        "{text}"
    );
    assert_eq!(SnapshotFile::decode(text.as_bytes()).unwrap(), full());
}

#[test]
fn empty_fields_are_left_out() {
    let snapshot = SnapshotFile::new(GoTime::default());
    let expected = format!(
        r#"{{"time":"0001-01-01T00:00:00Z","tree":"{:064}","paths":[]}}"#,
        0
    );
    assert_eq!(String::from_utf8(snapshot.encode()).unwrap(), expected);
    let null = expected.replace("[]", "null,\"tags\":null,\"parent\":null");
    assert_eq!(SnapshotFile::decode(null.as_bytes()).unwrap(), snapshot);
}

#[test]
fn keys_of_others_stay() {
    let text = String::from_utf8(full().encode()).unwrap();
    let more = text
        .replacen('{', r#"{"label":"x","delete":{"after":[1]},"#, 1)
        .replace(
            "\"files_new\"",
            "\"command\":\"rustic backup\",\"files_new\"",
        );
    let read = SnapshotFile::decode(more.as_bytes()).unwrap();
    let again = SnapshotFile::decode(&read.encode()).unwrap();
    assert_eq!(again, read);
    assert_eq!(again.other["delete"]["after"][0], 1);
    assert_eq!(again.summary.unwrap().other["command"], "rustic backup");
}

#[test]
fn a_snapshot_without_a_tree_is_corrupt() {
    let text = String::from_utf8(full().encode()).unwrap();
    let tree = format!("\"tree\":\"{}\"", BlobId::of(b"tree"));
    for broken in [
        "\"x\":1",
        "\"tree\":null",
        "\"tree\":\"\"",
        "\"tree\":\"ABCD\"",
    ] {
        let broken = text.replace(&tree, broken);
        assert_ne!(broken, text);
        let error = SnapshotFile::decode(broken.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{broken}");
    }
}

#[test]
fn a_lock_has_restics_shape() {
    let lock = LockFile {
        time: GoTime::default(),
        exclusive: true,
        hostname: "h".into(),
        username: "u".into(),
        pid: 7,
        uid: 0,
        gid: 5,
    };
    let expected = r#"{"time":"0001-01-01T00:00:00Z","exclusive":true,"hostname":"h",
        "username":"u","pid":7,"gid":5}"#;
    let expected = expected.replace("\n        ", "");
    assert_eq!(String::from_utf8(lock.encode()).unwrap(), expected);
    assert_eq!(LockFile::decode(expected.as_bytes()).unwrap(), lock);
    assert_eq!(
        LockFile::decode(b"").unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}
