//! The tree follows its own rules.

use std::process::Command;

#[test]
fn the_tree_is_tidy() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.arg("tidy").output().expect("starting xtask");
    let findings = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{findings}{errors}");
}
