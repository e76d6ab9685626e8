//! `machine ls`, `machine backup`, `machine recover` and `nbd`, beside a real libvirt daemon.

use std::fs;
use std::process::{Command, Stdio};

use lifeboat_testkit::libvirtd::{MIB, TestMachine, qcow2, qemu_img, raw, shown, wait_for};
use lifeboat_testkit::tool;
use serde_json::Value;

use crate::machines::host::Host;

const NETWORK: &str = "<interface type='bridge'><mac address='52:54:00:00:00:01'/>\
                       <source bridge='lan'/><model type='virtio'/></interface>";

#[test]
fn a_machine_is_listed_backed_up_and_brought_back() {
    let Some(host) = Host::begin() else {
        return;
    };
    host.init("r");
    host.folder("new");
    let disks = [qcow2("vda", 64), raw("vdb", 4)];
    // It has a network that is not there, so that it is off.
    let mut web = host.daemon.defined("web", &disks, NETWORK);
    for (disk, format, byte) in [("vda", "qcow2", 1), ("vdb", "raw", 2)] {
        let image = shown(&web.image(disk));
        let write = format!("write -P {byte} 1M 1M");
        let status = Command::new(tool("qemu-io").unwrap())
            .args(["-f", format, "-c", &write, &image])
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    }
    web.read_truth();
    is_listed(&host, &web);
    let shown_only = host.lifeboat("-n", "r", &["machine", "backup", "web", "-n"]);
    assert!(
        shown_only.contains("1 machine would be backed up"),
        "{shown_only}"
    );
    let told = host.backup("off", "r", "web");
    assert_eq!(told["consistency"], "offline");
    host.is_restored("off", "r", &web);
    is_served(&host, &web);
    is_recovered_elsewhere(&host, &web);
    is_replaced(&host, &web);
}

fn is_listed(host: &Host, web: &TestMachine<'_>) {
    let list = host.lifeboat("ls", "r", &["--json", "machine", "ls"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["name"], "web");
    assert_eq!(list[0]["state"], "off");
    assert_eq!(list[0]["disks"][1]["place"], shown(&web.image("vdb")));
    let table = host.lifeboat("ls", "r", &["machine", "ls", "w*"]);
    assert!(
        table.contains("web") && table.contains("64.000 MiB"),
        "{table}"
    );
    let absent = host.fails(1, "r", &["machine", "backup", "nobody"]);
    assert!(absent.contains("machine ls"), "{absent}");
}

/// What the snapshot's disks are over NBD is what the images are.
fn is_served(host: &Host, web: &TestMachine<'_>) {
    let socket = host.path("nbd.sock");
    let words = ["nbd", "web", "--socket", &shown(&socket)];
    let mut command = host.command(&host.daemon.uri(), "r", &words);
    let mut server = command.stdout(Stdio::null()).spawn().unwrap();
    wait_for(|| socket.exists());
    for disk in &web.disks {
        let uri = format!("nbd+unix:///{}?socket={}", disk.target, shown(&socket));
        let image = shown(&web.image(disk.target));
        qemu_img(&["compare", "-f", "raw", "-F", disk.format, &uri, &image]);
    }
    let stop = Command::new("kill").arg(server.id().to_string()).status();
    assert!(stop.unwrap().success());
    server.wait().unwrap();
    assert!(!socket.exists());
}

fn is_recovered_elsewhere(host: &Host, web: &TestMachine<'_>) {
    let to = format!("--to={}/", shown(&host.path("new")));
    let second = shown(&host.path("new/second.img"));
    let place = format!("--place=vdb={second}");
    let words = ["machine", "recover", "web", "--as", "shop", &to, &place];
    let words = [
        &words[..],
        &["--network", "lan=", "--identity", "new", "--verify"],
    ]
    .concat();
    let plan = host.lifeboat("-n", "r", &[&words[..], &["-n"]].concat());
    assert!(plan.contains("dry run: shop was not made"), "{plan}");
    let plan = host.lifeboat("-n-json", "r", &[&words[..], &["-n", "--json"]].concat());
    let lines = plan.lines().map(serde_json::from_str::<serde_json::Value>);
    let lines: Vec<_> = lines.collect::<Result<_, _>>().expect("every line is JSON");
    let plan = lines.iter().find(|line| line["message_type"] == "plan");
    let plan = plan.expect("programs see the plan too");
    assert_eq!(plan["disks"][1]["place"], second.as_str(), "{plan}");
    assert_eq!(fs::read_dir(host.path("new")).unwrap().count(), 0);
    let told = host.lifeboat("recover", "r", &[&words[..], &["--start"]].concat());
    assert!(
        told.contains("shop runs") && told.contains("every byte"),
        "{told}"
    );
    let xml = host.daemon.virsh(&["dumpxml", "shop", "--inactive"]);
    assert!(
        xml.contains(&second) && !xml.contains("52:54:00:00:00:01"),
        "{xml}"
    );
    assert!(!xml.contains(web.id.as_str()), "{xml}");
    let refused = host.fails(1, "r", &words);
    assert!(refused.contains("--replace"), "{refused}");
    host.daemon.virsh(&["destroy", "shop"]);
    is_like(host, web, "vda", &host.path("new/shop-vda.qcow2"));
    is_like(host, web, "vdb", &host.path("new/second.img"));
    host.daemon.virsh(&["undefine", "shop"]);

    let one = shown(&host.path("new/only.qcow2"));
    let place = format!("--place=vdb={one}");
    let words = [
        "machine",
        "recover",
        "web",
        "--as",
        "part",
        "--only-disk",
        "vdb",
    ];
    host.lifeboat(
        "only",
        "r",
        &[&words[..], &[&place, "--network=lan="]].concat(),
    );
    let places = host.daemon.virsh(&["domblklist", "part"]);
    assert!(places.contains(&one) && !places.contains("vda"), "{places}");
    is_like(host, web, "vdb", &host.path("new/only.qcow2"));
    host.daemon.virsh(&["undefine", "part"]);
}

fn is_replaced(host: &Host, web: &TestMachine<'_>) {
    let to = format!("--to={}/", shown(&host.path("new")));
    let words = [
        "machine",
        "recover",
        "web",
        "--replace",
        "--network=lan=",
        "--start",
        &to,
    ];
    host.lifeboat("replace", "r", &words);
    let all = host.daemon.virsh(&["list", "--all", "--name"]);
    assert_eq!(all.split_whitespace().collect::<Vec<_>>(), ["web"]);
    assert!(!web.image("vda").exists());
    let mut new = TestMachine {
        daemon: &host.daemon,
        name: "web".into(),
        id: web.id.clone(),
        disks: web.disks.clone(),
        truth: web.truth.clone(),
    };
    new.write("vda", 9, 3 * MIB, MIB);
    // The old machine's snapshots go on.
    host.backup("replaced", "r", "web");
    host.is_restored("replaced", "r", &new);
}

fn is_like(host: &Host, web: &TestMachine<'_>, disk: &str, image: &std::path::Path) {
    let copy = shown(&host.path("copy.raw"));
    let format = match fs::read(image).unwrap().starts_with(b"QFI\xfb") {
        true => "qcow2",
        false => "raw",
    };
    qemu_img(&["convert", "-f", format, "-O", "raw", &shown(image), &copy]);
    assert!(fs::read(copy).unwrap() == web.truth[disk], "{disk}");
}
