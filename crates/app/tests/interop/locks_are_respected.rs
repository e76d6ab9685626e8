//! lifeboat and restic keep out of each other's way.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use super::site::{Site, Stock};

/// Waits until somebody holds a lock, or fails when `child` ends before.
fn wait_for_lock(site: &Site, child: &mut Child) {
    let is_lock = |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name.len() == 64);
    // A lock is written under another name first.
    while !site.files("locks").iter().any(is_lock) {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended without a lock"
        );
        std::thread::yield_now();
    }
}

/// Ends with its test, also when it was stopped and the test failed.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn code(command: &mut Command, arguments: &[&str]) -> i32 {
    let output = command.args(arguments).output().unwrap();
    output.status.code().unwrap()
}

#[test]
fn we_wait_for_a_stopped_restic() {
    for name in ["restic", "restic-new"] {
        let Some(stock) = Stock::find(name) else {
            continue;
        };
        let site = Site::new(4);
        let gone = site.backup(None);
        let kept = site.backup(None);
        site.lifeboat(&["forget", &gone.id]);
        let mut restic = site.stock_command(&stock);
        restic
            .args(["backup", "--stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut restic = Guarded(restic.spawn().unwrap());
        let mut slow = restic.0.stdin.take().unwrap();
        slow.write_all(b"the beginning").unwrap();
        wait_for_lock(&site, &mut restic.0);
        let pid = rustix::process::Pid::from_child(&restic.0);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        for arguments in [
            &["prune"][..],
            &["prune", "--instant"],
            &["repair", "index"],
        ] {
            assert_eq!(
                code(&mut site.lifeboat_command(), arguments),
                11,
                "{arguments:?}"
            );
        }
        site.backup(None);
        site.lifeboat(&["check"]);
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
        slow.write_all(b" and the end").unwrap();
        drop(slow);
        assert!(restic.0.wait().unwrap().success());
        site.lifeboat(&["prune", "--instant"]);
        site.is_read_by(&stock, &[kept], "after waiting");
    }
}

#[test]
fn restic_does_not_prune_while_we_read() {
    for name in ["restic", "restic-new"] {
        let Some(stock) = Stock::find(name) else {
            continue;
        };
        let site = Site::new(5);
        let taken = site.backup(None);
        let mut dump = site.lifeboat_command();
        dump.args(["dump", &taken.id, "disks/vda.raw"])
            .stdout(Stdio::piped());
        let mut dump = dump.spawn().unwrap();
        wait_for_lock(&site, &mut dump);
        assert_ne!(code(&mut site.stock_command(&stock), &["prune"]), 0);
        // Ours goes on beside our reader.
        site.lifeboat(&["prune"]);
        assert_eq!(
            code(&mut site.lifeboat_command(), &["prune", "--instant"]),
            11
        );
        let output = dump.wait_with_output().unwrap();
        assert!(output.status.success() && output.stdout == taken.bytes);
        site.stock(&stock, &["prune"]);
    }
}
