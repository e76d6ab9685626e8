//! A computer on LVM volumes backs itself up by the program's commands and comes back.
//!
//! The guest acts by `volumes/init.sh`, in which every promise is a function of its name.

use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_testkit::{Effort, KernelGuest, tool};

/// Beside this file.
const INIT: &str = "tests/volumes/init.sh";
/// What every run proves.
const ALWAYS: [&str; 3] = [
    "its_own_volumes_are_found_and_rules_are_shown",
    "backups_go_on_by_increments_with_hooks_around_them",
    "disks_come_back_onto_volumes",
];
/// What takes longer.
const AT_LENGTH: [&str; 2] = [
    "a_wizard_finds_this_computer_on_its_volumes",
    "a_whole_machine_comes_back_into_a_group",
];

/// The program without what only debuggers read: the guest unpacks it slowly.
fn slim(folder: &Path) -> Option<PathBuf> {
    let path = folder.join("lifeboat");
    let mut strip = Command::new(tool("strip")?);
    let strip = strip.arg("-g").arg("-o").arg(&path);
    let done = strip.arg(env!("CARGO_BIN_EXE_lifeboat")).status();
    assert!(done.unwrap().success());
    Some(path)
}

#[test]
fn in_a_guest() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = slim(folder.path()) else {
        return;
    };
    let more = Effort::current().pick::<&[&str]>(&[], &AT_LENGTH);
    let promises = [&ALWAYS, more].concat();
    let init = Path::new(env!("CARGO_MANIFEST_DIR")).join(INIT);
    let init = std::fs::read_to_string(init).unwrap();
    let init = init.replace("@PROMISES@", &promises.join(" "));
    let guest = KernelGuest {
        init: &init,
        program: &program,
        disks: &[256 << 20],
        last_words: "GUEST ended",
    };
    let Some(left) = guest.boot() else { return };
    for line in left.told("TOOK ") {
        println!("{line}");
    }
    for promise in promises {
        left.assert_told(promise);
    }
}
