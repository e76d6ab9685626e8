//! A rescue VM does not outlive the process that started it, however that ended.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use lifeboat_model::CancelToken;
use lifeboat_rescue::{Access, Rescue};

use crate::disks::Disks;

/// Set in the process that is killed: the folder of its cache.
const VICTIM: &str = "LIFEBOAT_RESCUE_VICTIM";
/// Minutes, so that a busy machine is no failure.
const LOOKS_MAX: u32 = 3000;
const READY: &str = "the rescue VM is up";

#[test]
fn a_vm_ends_with_its_owner() {
    let Some(disks) = Disks::with(&[]) else {
        return;
    };
    if let Some(cache) = env::var_os(VICTIM) {
        let settings = lifeboat_rescue::Settings {
            cache: cache.into(),
            ..disks.settings()
        };
        let rescue = Rescue::start(&[], Access::Read, &settings, &CancelToken::new());
        println!("{READY}: {rescue:?}");
        thread::sleep(Duration::from_secs(3600));
        return;
    }
    let Some(rescue) = disks.start(&[], Access::Read) else {
        return;
    };
    rescue.finish().unwrap();
    let cache = disks.path("cache");
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--nocapture", "--exact"])
        .arg("a_vm_ends_with_its_owner::a_vm_ends_with_its_owner")
        .env(VICTIM, &cache)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let said = lines
        .map_while(Result::ok)
        .find(|line| line.contains(READY))
        .unwrap();
    assert!(said.contains("Ok("), "{said}");
    let machines = machines_of(&cache);
    assert_eq!(machines.len(), 1);
    victim.kill().unwrap();
    victim.wait().unwrap();
    let mut looks = 0;
    while machines_of(&cache) == machines && looks < LOOKS_MAX {
        thread::sleep(Duration::from_millis(100));
        looks += 1;
    }
    assert_ne!(machines_of(&cache), machines);
}

/// Running processes that were started with an image of this cache.
fn machines_of(cache: &Path) -> Vec<PathBuf> {
    let cache = cache.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|it| it.path());
    let is_machine = |path: &PathBuf| {
        let words = fs::read(path.join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        words.contains("-initrd") && words.contains(cache)
    };
    processes.filter(is_machine).collect()
}
