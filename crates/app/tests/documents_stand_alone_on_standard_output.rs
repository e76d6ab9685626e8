//! What is one document, or the bytes of one file, has standard output for itself: progress and
//! steps are told beside it, whatever flags are given.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::thread;

use lifeboat_testkit::tool;

use crate::{Place, messages};

/// Commands that print a document, and those that do so only in JSON.
const DOCUMENTS: [&[&str]; 10] = [
    &["catalog", "export"],
    &["dump", "latest", "disks/vda.raw", "--length", "1M"],
    &["restore", "latest", "--disk", "vda", "--target", "-"],
    &["cat", "config"],
    &["cat", "tree", "latest:disks"],
    &["list", "blobs"],
    &["config", "schema"],
    &["find", "vda.raw"],
    &["stats"],
    &["key", "list"],
];
const ONLY_IN_JSON: [&str; 3] = ["find", "stats", "key"];

/// Runs lifeboat; whoever reads the index takes longer than a line of progress needs, and steps
/// are told as to the service.
fn slowly(place: &Place, strace: &Path, arguments: &[&str]) -> Output {
    let index = fs::read_dir(place.path("r/index")).unwrap();
    let paths: Vec<_> = index
        .map(|it| it.unwrap().path().to_str().unwrap().to_owned())
        .collect();
    let mut words = vec![
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-E",
        "LIFEBOAT_TELLS_STEPS=1",
    ];
    words.extend(["-e", "trace=openat", "-e", "signal=none"]);
    words.extend(["-e", "inject=openat:delay_enter=1300000"]);
    words.extend(paths.iter().flat_map(|path| ["-P", path.as_str()]));
    let repository = place.path("r");
    let program = env!("CARGO_BIN_EXE_lifeboat");
    words.extend([program, "-r", repository.to_str().unwrap()]);
    words.extend(arguments);
    place.command(strace, &words)
}

/// What stays the same when it is printed again.
fn lasting(output: &Output) -> Vec<u8> {
    let lines = output.stdout.split_inclusive(|byte| *byte == b'\n');
    let is_moment = |line: &[u8]| line.trim_ascii_start().starts_with(b"\"exported_at\"");
    lines
        .filter(|line| !is_moment(line))
        .collect::<Vec<_>>()
        .concat()
}

#[test]
fn whatever_flags_are_given() {
    let Some(strace) = tool("strace") else {
        return;
    };
    let place = Place::new();
    place.two_backups();
    let check = |document: &[&str], flags: &[&str]| {
        let style = &flags[..usize::from(flags[0] == "--json")];
        let alone = [style, &["--quiet"], document].concat();
        let alone = slowly(&place, &strace, &alone);
        let told = slowly(&place, &strace, &[flags, document].concat());
        assert!(!alone.stdout.is_empty(), "{document:?}");
        assert!(lasting(&alone) == lasting(&told), "{flags:?} {document:?}");
        String::from_utf8(told.stderr).unwrap()
    };
    thread::scope(|scope| {
        for document in DOCUMENTS {
            scope.spawn(|| check(document, &["--json", "-v"]));
            if !ONLY_IN_JSON.contains(&document[0]) {
                scope.spawn(|| check(document, &["-vv"]));
            }
        }
        let told = check(DOCUMENTS[0], &["--json"]);
        assert_eq!(messages(&told, "step")[0]["step"], "lock", "{told}");
        assert_eq!(messages(&told, "status")[0]["phase"], "index", "{told}");
    });
}

#[test]
fn lines_of_json_tell_progress_among_them() {
    let Some(strace) = tool("strace") else {
        return;
    };
    let place = Place::new();
    place.two_backups();
    let told = slowly(&place, &strace, &["--json", "ls", "latest"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert_eq!(messages(&told, "status")[0]["phase"], "index", "{told}");
    assert!(!messages(&told, "node").is_empty(), "{told}");
}
