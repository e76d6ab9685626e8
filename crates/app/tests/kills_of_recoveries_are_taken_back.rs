//! A recovery that is killed is taken back by the next one, which succeeds; the machine that
//! made room is there at every moment.

use std::fs;

use lifeboat_testkit::libvirtd::{MIB, TestMachine, qcow2, qemu_img, shown};
use lifeboat_testkit::{Effort, figure};

use crate::machines::host::{Host, Victim};
use crate::machines::wire::{Edge, Moment, Wire};
use crate::trial::{files, spread};

/// Machines that are there, by name.
fn machines(host: &Host) -> Vec<String> {
    let all = host.daemon.virsh(&["list", "--all", "--name"]);
    all.split_whitespace().map(str::to_owned).collect()
}

/// What the new machine has is the truth; it goes, and the old one is put back for the next case.
fn is_whole(when: &str, host: &Host, web: &TestMachine<'_>) {
    for (disk, truth) in &web.truth {
        let image = host.path(&format!("new/web-{disk}.qcow2"));
        let copy = shown(&host.path("copy.raw"));
        qemu_img(&["convert", "-f", "qcow2", "-O", "raw", &shown(&image), &copy]);
        assert!(fs::read(&copy).unwrap() == *truth, "{when}: {disk}");
        fs::remove_file(image).unwrap();
    }
}

/// Defines the old machine as it was.
fn begin_anew(host: &Host, web: &TestMachine<'_>) {
    for name in machines(host) {
        host.daemon
            .virsh(&["undefine", &name, "--checkpoints-metadata"]);
    }
    for disk in &web.disks {
        let (kept, image) = (host.path(disk.target), web.image(disk.target));
        if !image.exists() {
            fs::copy(kept, image).unwrap();
        }
    }
    let file = shown(&host.path("web.xml"));
    let xml = fs::read_to_string(&file).unwrap();
    let uuid = format!("<uuid>{}</uuid>", web.id);
    let xml = match xml.contains("<uuid>") {
        true => xml,
        false => xml.replace("<memory", &format!("{uuid}<memory")),
    };
    fs::write(&file, xml).unwrap();
    host.daemon.virsh(&["define", &file]);
}

#[test]
fn kills_of_a_recovery_that_replaces() {
    let Some(host) = Host::begin() else {
        return;
    };
    host.init("r");
    host.folder("new");
    let mut web = host
        .daemon
        .machine("web", &[qcow2("vda", 4), qcow2("vdb", 2)]);
    web.write("vda", 1, MIB, MIB);
    web.write("vdb", 2, 0, MIB);
    host.backup("before", "r", "web");
    web.stop();
    for disk in &web.disks {
        fs::copy(web.image(disk.target), host.path(disk.target)).unwrap();
    }
    let wire = Wire::begin(&host.path("wire"), &host.daemon.socket());
    let to = format!("--to={}/", shown(&host.path("new")));
    let words = ["machine", "recover", "web", "--replace", &to];
    let mut command = host.command(&wire.uri(), "r", &words);
    assert!(command.output().unwrap().status.success());
    is_whole("undisturbed", &host, &web);
    let edges = [Edge::Before, Edge::After];
    let moments = (1..=wire.calls()).flat_map(|call| edges.map(|edge| Moment { edge, call }));
    let victims = [Victim::Lifeboat, Victim::Daemon];
    let all: Vec<_> = moments
        .flat_map(|moment| victims.map(|victim| (victim, moment)))
        .collect();
    let mut hits = 0;
    for (victim, moment) in spread(&all, Effort::current().pick(5, 50)) {
        let when = format!("{victim:?} killed at {moment:?}");
        begin_anew(&host, &web);
        let struck = host.strike((&wire, moment), (victim, "web"), "r", &words);
        hits += usize::from(struck.is_hit);
        let all = machines(&host);
        assert!(!all.is_empty(), "{when}: the machine is gone");
        let places = host.daemon.try_virsh(&["domblklist", "web"]);
        let is_made = places.is_ok_and(|it| it.contains("/new/"));
        if !is_made {
            host.lifeboat(&when, "r", &words);
            assert_eq!(machines(&host), ["web"], "{when}");
            assert_eq!(host.daemon.scratch(), [""; 0], "{when}");
        } else if all.len() > 1 {
            // Complete, with the old one beside it; the next recovery says so.
            let told = host.fails(1, "r", &words);
            assert!(told.contains("-aside-"), "{when}: {told}");
        }
        is_whole(&when, &host, &web);
        assert_eq!(
            files(&host.path("new")),
            [""; 0].map(std::path::PathBuf::from),
            "{when}"
        );
    }
    figure("machines", "recovery: kills between calls", hits);
}
