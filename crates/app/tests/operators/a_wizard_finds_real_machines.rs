//! `lifeboat config generate --wizard` at a terminal, with the machines of a real libvirt.

use std::fs;
use std::path::Path;
use std::process::Command;

use lifeboat_testkit::libvirtd::{Daemon, qcow2, raw};

use super::packages_come_and_go::well;
use super::terminal::Terminal;

/// A program of the daemon's user, whose host has only that daemon.
fn command(daemon: &Daemon, program: &Path) -> Command {
    let mut command = daemon.command(program);
    command
        .current_dir(daemon.path("."))
        .env("LIBVIRT_DEFAULT_URI", daemon.uri())
        .env("LIFEBOAT_CONFIG", daemon.path("lifeboat.toml"))
        .env("LIFEBOAT_STATE", daemon.path("state"))
        .env("RESTIC_CACHE_DIR", daemon.path("cache"))
        .env_remove("LIFEBOAT_PLATFORM")
        .env_remove("LIFEBOAT_REPOSITORY");
    command
}

#[test]
fn what_it_writes_backs_them_up() {
    let Some(daemon) = Daemon::begin(Path::new(env!("CARGO_TARGET_TMPDIR"))) else {
        return;
    };
    let _running = daemon.machine("web01", &[qcow2("vda", 8)]);
    let _off = daemon.defined("db01", &[raw("vda", 4)], "");
    let program = daemon.path("lifeboat");
    fs::copy(env!("CARGO_BIN_EXE_lifeboat"), &program).unwrap();
    let line = "./lifeboat config generate --wizard";
    let script = command(&daemon, Path::new("script"));
    let mut terminal = Terminal::start(script, &daemon.path("."), line);
    terminal.waits_for("which machines, as in web*, db01 [all]: ");
    for machine in [
        "2 machines",
        "web01 (running)",
        "db01 (off)",
        "images/web01-vda",
    ] {
        assert!(terminal.seen.contains(machine), "{}", terminal.seen);
    }
    terminal.press("web*, db02\n");
    terminal.waits_for("no machine \"db02\"");
    terminal.waits_for("which machines");
    terminal.press("\n");
    terminal.waits_for("a folder [/srv/backup]: ");
    let place = daemon.path("backup");
    terminal.press(&format!("{}\n", place.display()));
    terminal.waits_for("when [daily 02:00]: ");
    terminal.press("\n");
    terminal.waits_for("lifeboat.toml, and use ");
    let seen = &terminal.seen;
    assert!(
        !place.exists() && !daemon.path("lifeboat.toml").exists(),
        "{seen}"
    );
    terminal.press("yes\n");
    let seen = terminal.ends();
    assert!(seen.contains("opened the repository at "), "{seen}");
    let does = |words: &[&str]| {
        let output = well(command(&daemon, &program).args(words));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(does(&["config", "validate"]).contains("it is sound"));
    let told = does(&["run", "local"]);
    assert!(told.contains("succeeded"), "{told}");
    let told = does(&["status"]);
    assert!(
        told.starts_with("Yes: 2 machines can be recovered"),
        "{told}"
    );
    // What the running machine changes from now on is known.
    assert_eq!(daemon.checkpoints("web01").len(), 1);
}
