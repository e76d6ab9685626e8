//! Whichever call on a file fails: the exit code tells it, nothing half is left, and the same
//! command again succeeds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_testkit::{Effort, figure, tool};

use crate::trial::{
    Ended, FILE_CALLS, Operation, Site, SystemCall, Trial, calls_of, side_by_side, spread, straced,
    unfinished,
};

/// Calls that a full file system refuses.
const WRITING: [&str; 10] = [
    "write",
    "pwrite64",
    "pwritev",
    "fsync",
    "fdatasync",
    "rename",
    "renameat2",
    "mkdir",
    "ftruncate",
    "fallocate",
];

/// A call that fails, once or from then on.
#[derive(Clone, Debug)]
struct Broken {
    call: SystemCall,
    error: &'static str,
    is_lasting: bool,
}

impl Broken {
    fn inject(&self) -> String {
        let Self {
            call,
            error,
            is_lasting,
        } = self;
        let lasting = if *is_lasting { "+" } else { "" };
        format!(
            "inject={}:error={error}:when={}{lasting}",
            call.name, call.number
        )
    }
}

/// The calls of a log, each with whether it failed on purpose.
fn logged(site: &Site) -> Vec<(String, bool)> {
    let log = fs::read_to_string(site.path("log")).unwrap();
    let lines = log.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(_, call)| (call.trim_start().to_owned(), call.contains("(INJECTED)")))
        .collect()
}

/// The file of a call, as strace tells it.
fn file_of(call: &str) -> Option<&str> {
    let rest = call.split_once('<')?.1;
    Some(rest.split_once('>')?.0)
}

/// A file whose sync failed is never synced again: the kernel may have thrown its bytes away.
fn no_sync_is_repeated(site: &Site, when: &str) {
    let mut failed = BTreeSet::new();
    for (call, is_injected) in logged(site) {
        let is_sync = call.starts_with("fsync(") || call.starts_with("fdatasync(");
        let Some(file) = file_of(&call).filter(|file| is_sync && !Path::new(file).is_dir()) else {
            continue;
        };
        assert!(!failed.contains(file), "{when}: {file} was synced again");
        if is_injected {
            failed.insert(file.to_owned());
        }
    }
}

/// Work files stay only where removing them failed too.
fn no_debris(trial: &Trial, site: &Site, when: &str) {
    let is_removed =
        |(call, is_injected): &(String, bool)| call.starts_with("unlink") && *is_injected;
    let repository = site.path(trial.operation.repository());
    if !logged(site).iter().any(is_removed) {
        assert_eq!(
            unfinished(&repository),
            [""; 0].map(PathBuf::from),
            "{when}"
        );
    }
}

fn is_told(site: &Site, broken: &Broken, ended: &Ended, when: &str) {
    let code = ended.status.code();
    assert!(
        code.is_some_and(|code| code > 0 && code != 101),
        "{when}: {}",
        ended.told
    );
    let fired: Vec<_> = logged(site)
        .into_iter()
        .filter(|(_, fired)| *fired)
        .collect();
    // Standard error is written to as well, and every thread has its own n-th call.
    let is_silenced = fired.iter().any(|(call, _)| call.starts_with("write(2<"));
    let is_mute = is_silenced || broken.is_lasting && broken.call.name == "write";
    let is_told = ended.told.contains("error");
    assert!(is_told || is_mute, "{when}: {}", ended.told);
    let place = site.0.file_name().unwrap().to_str().unwrap();
    let is_ours = fired.iter().all(|(call, _)| call.contains(place));
    if broken.error == "ENOSPC" && !fired.is_empty() && is_ours {
        assert_eq!(code, Some(24), "{when}: {}", ended.told);
    }
}

fn cases(trial: &Trial, strace: &Path) -> Vec<Broken> {
    let calls = calls_of(trial, strace);
    let mut cases = Vec::new();
    for name in FILE_CALLS.split(',') {
        let calls: Vec<_> = calls
            .iter()
            .filter(|call| call.name == name)
            .cloned()
            .collect();
        for error in ["EIO", "ENOSPC"] {
            if error == "ENOSPC" && !WRITING.contains(&name) {
                continue;
            }
            for is_lasting in [false, true] {
                let count = Effort::current().pick(1, usize::MAX);
                // Every kind of case starts elsewhere, so that few cases see many places.
                let skip = cases.len() * 7 % calls.len().max(1);
                let shifted = [&calls[skip..], &calls[..skip]].concat();
                let chosen = spread(&shifted, count).into_iter();
                cases.extend(chosen.map(|call| Broken {
                    call,
                    error,
                    is_lasting,
                }));
            }
        }
    }
    cases
}

fn fail_every_call(operation: Operation) {
    let Some(strace) = tool("strace") else {
        return;
    };
    let trial = Trial::new(operation);
    let cases = cases(&trial, &strace);
    let fired = side_by_side(&cases, |number, broken| {
        let site = trial.site();
        let inject = broken.inject();
        let ended = straced(&site, &strace, Some(&inject), operation.arguments());
        let when = format!("{} with {inject}", operation.name());
        no_sync_is_repeated(&site, &when);
        if ended.status.success() {
            trial.is_whole(&site, &when, false);
        } else {
            is_told(&site, broken, &ended, &when);
            no_debris(&trial, &site, &when);
            trial.is_whole(&site, &when, number % 8 == 0);
        }
        let has_fired = logged(&site).iter().any(|(_, fired)| *fired);
        trial.again(&site, &when);
        trial.leave(site);
        usize::from(has_fired)
    });
    let fired: usize = fired.iter().sum();
    assert!(fired * 3 > cases.len(), "{fired} of {}", cases.len());
    figure(
        "file faults",
        &format!("{}: faults", operation.name()),
        fired,
    );
}

#[test]
fn faults_during_a_backup() {
    fail_every_call(Operation::FirstBackup);
}

#[test]
fn faults_during_a_prune() {
    fail_every_call(Operation::InstantPrune);
}

#[test]
fn faults_during_a_restore() {
    fail_every_call(Operation::Restore);
}

#[test]
fn faults_during_a_copy() {
    fail_every_call(Operation::Copy);
}
