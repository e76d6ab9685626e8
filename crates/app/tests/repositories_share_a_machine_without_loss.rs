//! Backups of one machine to several repositories, with what other people do to it in between:
//! no snapshot ever lacks a write.

use lifeboat_testkit::libvirtd::{MIB, TestMachine, qcow2, qemu_img, shown};
use serde_json::Value;

use crate::machines::host::Host;

/// How the disk `vda` was read, and why.
fn reading(told: &Value) -> (&str, &str) {
    let disk = &told["disks"][0];
    let word = |name: &str| disk[name].as_str().unwrap();
    assert_eq!(disk["disk"], "vda");
    (word("mode"), word("reason"))
}

/// Backs up; the snapshot is the machine.
fn kept(host: &Host, repository: &str, web: &TestMachine<'_>) -> Value {
    let told = host.backup(repository, repository, &web.name);
    host.is_restored(repository, repository, web);
    told
}

#[test]
fn a_write_between_two_repositories_reaches_both() {
    let Some(host) = Host::begin() else {
        return;
    };
    host.init("a");
    host.init("b");
    let mut web = host.daemon.machine("web", &[qcow2("vda", 8)]);
    web.write("vda", 1, 0, MIB);
    assert_eq!(reading(&kept(&host, "a", &web)).0, "full");
    web.write("vda", 2, 2 * MIB, 65536);
    assert_eq!(reading(&kept(&host, "b", &web)).0, "full");
    web.write("vda", 3, 4 * MIB, 65536);
    let of_a = kept(&host, "a", &web);
    assert_eq!(reading(&of_a).0, "incremental");
    assert_eq!(of_a["disks"][0]["changed_bytes"], 2 * 65536);
    web.write("vda", 4, 6 * MIB, 65536);
    let of_b = kept(&host, "b", &web);
    assert_eq!(reading(&of_b).0, "incremental");
    assert_eq!(of_b["disks"][0]["changed_bytes"], 2 * 65536);
    host.is_clean("a and b", "a", &web, &[&of_a, &of_b]);
}

#[test]
fn what_others_do_to_bitmaps_costs_time_and_no_write() {
    let Some(host) = Host::begin() else {
        return;
    };
    host.init("a");
    let daemon = &host.daemon;
    let mut web = daemon.machine("web", &[qcow2("vda", 8)]);
    web.write("vda", 1, 0, MIB);
    kept(&host, "a", &web);

    // Another program's checkpoint beside ours.
    daemon.virsh(&["checkpoint-create-as", "web", "theirs"]);
    web.write("vda", 2, MIB, 65536);
    let told = kept(&host, "a", &web);
    assert_eq!(reading(&told).0, "incremental");
    assert!(daemon.checkpoints("web").contains(&"theirs".to_owned()));
    daemon.virsh(&["checkpoint-delete", "web", "theirs"]);

    // Ours is deleted.
    daemon.virsh(&["checkpoint-delete", "web", &mark(&told)]);
    web.write("vda", 3, 2 * MIB, 65536);
    let told = kept(&host, "a", &web);
    assert!(reading(&told).1.contains("lost the checkpoint"), "{told}");

    // Its bitmap is taken out of the image.
    web.stop();
    let image = shown(&web.image("vda"));
    qemu_img(&["bitmap", "--remove", &image, &mark(&told)]);
    web.start();
    web.write("vda", 4, 3 * MIB, 65536);
    let told = kept(&host, "a", &web);
    assert_eq!(reading(&told).0, "full", "{told}");

    // The disk grows.
    daemon.virsh(&["blockresize", "web", "vda", "12M"]);
    web.truth.get_mut("vda").unwrap().resize(12 << 20, 0);
    web.write("vda", 5, 11 * MIB, 65536);
    let told = kept(&host, "a", &web);
    assert!(reading(&told).1.contains("now has"), "{told}");
    host.is_clean("resized", "a", &web, &[&told]);

    // The machine gets another name, for which libvirt wants it without checkpoints.
    web.stop();
    daemon.virsh(&["checkpoint-delete", "web", &mark(&told), "--metadata"]);
    daemon.virsh(&["domrename", "web", "shop"]);
    web.name = "shop".into();
    web.start();
    web.write("vda", 6, 5 * MIB, 65536);
    let told = kept(&host, "a", &web);
    host.is_clean("renamed", "a", &web, &[&told]);
    web.write("vda", 7, 6 * MIB, 65536);
    assert_eq!(reading(&kept(&host, "a", &web)).0, "incremental");

    // QEMU dies, and with it what it had not written.
    daemon.kill_emulator("shop");
    // Images keep the name under which they were made.
    web.name = "web".into();
    web.read_truth();
    web.name = "shop".into();
    web.start();
    web.write("vda", 8, 7 * MIB, 65536);
    let told = kept(&host, "a", &web);
    host.is_clean("after QEMU died", "a", &web, &[&told]);
}

/// The checkpoint that a snapshot left.
fn mark(told: &Value) -> String {
    told["disks"][0]["checkpoint"].as_str().unwrap().to_owned()
}
