//! Chains of qcow2 files become snapshots and come out again; QEMU's tools are the judges.

use std::fs;
use std::path::PathBuf;

use lifeboat_testkit::tool;
use serde_json::{Value, json};

use crate::Place;

/// A chain of three files in the folder `c`, and what every one of them holds.
struct Chain {
    place: Place,
    image: PathBuf,
    contents: Vec<Vec<u8>>,
}

const NAMES: [&str; 3] = ["full.qcow2", "one.qcow2", "two.qcow2"];

impl Chain {
    fn new() -> Option<Self> {
        let (image, io) = (tool("qemu-img")?, tool("qemu-io")?);
        let place = Place::new();
        fs::create_dir(place.path("c")).unwrap();
        let create = |name: &str, below: Option<&str>, size: Option<&str>| {
            let path = format!("c/{name}");
            let mut arguments = vec!["create", "-q", "-f", "qcow2"];
            if let Some(below) = below {
                arguments.extend(["-b", below, "-F", "qcow2"]);
            }
            arguments.push(&path);
            arguments.extend(size);
            place.tool(&image, &arguments);
        };
        let write = |name: &str, commands: &[&str]| {
            let path = format!("c/{name}");
            let mut arguments = vec!["-f", "qcow2"];
            commands
                .iter()
                .for_each(|command| arguments.extend(["-c", command]));
            arguments.push(&path);
            place.tool(&io, &arguments);
        };
        create(NAMES[0], None, Some("24M"));
        write(
            NAMES[0],
            &[
                "write -P 1 0 5M",
                "write -P 2 12M 1M",
                "write -P 9 24575k 1k",
            ],
        );
        create(NAMES[1], Some(NAMES[0]), None);
        write(
            NAMES[1],
            &[
                "write -P 3 1M 70k",
                "write -z 12M 512k",
                "write -P 4 20M 9k",
            ],
        );
        create(NAMES[2], Some(NAMES[1]), Some("30M"));
        write(NAMES[2], &["write -P 5 100k 5000", "write -P 6 29M 1M"]);
        let convert = |name: &&str| {
            let path = format!("c/{name}");
            place.tool(
                &image,
                &["convert", "-f", "qcow2", "-O", "raw", &path, "raw"],
            );
            fs::read(place.path("raw")).unwrap()
        };
        let contents = NAMES.iter().map(convert).collect();
        place.init_light();
        Some(Self {
            place,
            image,
            contents,
        })
    }

    fn describe(&self, list: &Value) {
        fs::write(self.place.path("c/checkpoints.json"), list.to_string()).unwrap();
    }

    /// Entries as backup scripts write them on another host.
    fn entries(&self) -> Vec<Value> {
        let entry = |(level, name): (usize, &&str)| {
            let size = fs::metadata(self.place.path("c").join(name)).unwrap().len();
            json!({
                "id": level + 1, "vm_name": "web01", "status": "completed",
                "backup_type": if level == 0 { "full" } else { "incremental" },
                "backup_date": format!("2026-03-0{}T02:00:00+01:00", level + 1),
                "chain_level": level, "file_size": size,
                "backup_file_path": format!("/srv/backups/web01/{name}"),
            })
        };
        NAMES.iter().enumerate().map(entry).collect()
    }

    fn holds(&self, ids: &[String]) {
        for (id, content) in ids.iter().zip(&self.contents) {
            assert!(self.place.restored(&["-r", "r"], id) == *content, "{id}");
        }
    }
}

const IMPORT: [&str; 5] = ["-r", "r", "chain", "import", "c"];

#[test]
fn every_point_in_time_is_complete() {
    let Some(chain) = Chain::new() else { return };
    let place = &chain.place;
    let mut entries = chain.entries();
    entries.reverse();
    entries.push(json!({"id": "x", "vm_name": "web01", "status": "failed",
        "backup_file_path": "/srv/backups/web01/broken.qcow2"}));
    chain.describe(&json!(entries));
    let plan = place.messages("plan", &[&IMPORT[..], &["-n"]].concat());
    let order: Vec<&str> = plan
        .iter()
        .filter_map(|line| line["file"].as_str())
        .collect();
    assert_eq!(order, NAMES);
    assert!(place.snapshots("r").is_empty());
    place.lifeboat(&IMPORT);
    let ids = place.snapshots("r");
    assert_eq!(ids.len(), 3);
    chain.holds(&ids);
    let list = place.lifeboat(&["-r", "r", "--json", "snapshots"]);
    let list: Vec<Value> = serde_json::from_str(&list).unwrap();
    assert_eq!(list[2]["time"], "2026-03-03T01:00:00Z");
    assert!(list.iter().all(|snapshot| snapshot["machine"] == "web01"));
    assert_eq!(
        list[2]["parent"], list[1]["id"],
        "read upon the point before"
    );
    let again = place.messages("summary", &IMPORT);
    assert_eq!(
        (&again[0]["imported"], &again[0]["already_there"]),
        (&0.into(), &3.into())
    );
    place.lifeboat(&["-r", "r", "check", "--read-data"]);
}

#[test]
fn a_folder_without_a_list_is_understood() {
    let Some(chain) = Chain::new() else { return };
    let place = &chain.place;
    let (code, told) = place.fails(&IMPORT);
    assert!(code == 2 && told.contains("--machine"), "{told}");
    let summary = [&IMPORT[..], &["-m", "web02", "-d", "sda"]].concat();
    assert_eq!(place.messages("summary", &summary)[0]["imported"], 3);
    let ids = place.snapshots("r");
    for (id, content) in ids.iter().zip(&chain.contents) {
        let _ = fs::remove_file(place.path("out"));
        place.lifeboat(&["-r", "r", "restore", id, "-d", "sda", "-t", "out"]);
        assert!(fs::read(place.path("out")).unwrap() == *content);
    }
}

#[test]
fn lists_that_lie_are_refused() {
    let Some(chain) = Chain::new() else { return };
    let place = &chain.place;
    fs::write(place.path("secret.qcow2"), "outside").unwrap();
    std::os::unix::fs::symlink("../secret.qcow2", place.path("c/link.qcow2")).unwrap();
    let refused = |change: &dyn Fn(&mut Value), seen: &str| {
        let mut list = json!(chain.entries());
        change(&mut list);
        chain.describe(&list);
        let (_, told) = place.fails(&IMPORT);
        assert!(told.contains(seen), "{told}");
    };
    refused(&|list| list[1]["file_size"] = 17.into(), "one.qcow2 has");
    refused(&|list| list[1]["file_size"] = 17.into(), "says 17");
    refused(
        &|list| list[1]["backup_file_path"] = "gone.qcow2".into(),
        "is not in",
    );
    refused(
        &|list| list[1]["backup_file_path"] = "../secret.qcow2".into(),
        "leads out of",
    );
    refused(
        &|list| {
            list[1] = json!({"backup_file_path": "link.qcow2", "backup_type": "full"});
        },
        "leads out of",
    );
    refused(
        &|list| list[1] = json!({"backup_file_path": "full.qcow2"}),
        "is listed twice",
    );
    refused(
        &|list| list[0]["backup_type"] = "incremental".into(),
        "names no backing file",
    );
    refused(
        &|list| list[0]["backup_date"] = "yesterday".into(),
        "is no time",
    );
    refused(&|list| list[0]["vm_name"] = "db".into(), "2 machines");
    refused(
        &|list| *list = json!({"points": []}),
        "no list of checkpoints",
    );
    assert!(place.snapshots("r").is_empty());
}

#[test]
fn chains_that_lead_out_or_in_circles_are_refused() {
    let Some(chain) = Chain::new() else { return };
    let (place, rebase) = (&chain.place, ["rebase", "-u", "-F", "qcow2", "-b"]);
    let import = [&IMPORT[..], &["-m", "x"]].concat();
    fs::copy(place.path("c/full.qcow2"), place.path("outside.qcow2")).unwrap();
    let outside = place.path("outside.qcow2").display().to_string();
    for below in ["../outside.qcow2", &outside] {
        place.tool(
            &chain.image,
            &[&rebase[..], &[below, "c/one.qcow2"]].concat(),
        );
        let (_, told) = place.fails(&import);
        assert!(told.contains("it is not in"), "{told}");
    }
    place.tool(
        &chain.image,
        &[&rebase[..], &["two.qcow2", "c/one.qcow2"]].concat(),
    );
    let (_, told) = place.fails(&import);
    assert!(told.contains("its own backing chain"), "{told}");
    assert!(place.snapshots("r").is_empty());
}

#[test]
fn what_is_exported_is_what_qemu_reads() {
    let Some(chain) = Chain::new() else { return };
    let place = &chain.place;
    chain.describe(&json!({ "checkpoints": chain.entries() }));
    place.lifeboat(&IMPORT);
    let ids = place.snapshots("r");
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    for (folder, more) in [("e", None), ("z", Some("--compress"))] {
        let mut arguments = vec!["-r", "r", "chain", "export", "-t", folder];
        arguments.extend(&all);
        arguments.extend(more);
        let written = place.messages("exported", &arguments);
        for (line, content) in written.iter().zip(&chain.contents) {
            let file = format!("{folder}/{}", line["file"].as_str().unwrap());
            place.tool(&chain.image, &["check", "-q", "-f", "qcow2", &file]);
            place.tool(
                &chain.image,
                &["convert", "-f", "qcow2", "-O", "raw", &file, "raw"],
            );
            assert!(fs::read(place.path("raw")).unwrap() == *content, "{file}");
        }
        // Clusters of 64 KiB: 70k at 1M, 9k at 20M; 512k of zeros.
        let amounts = (&written[1]["bytes_written"], &written[1]["bytes_zero"]);
        assert_eq!(amounts.1, &Value::from(512 << 10), "only what differs");
        assert!(amounts.0.as_u64() <= Some(3 * (64 << 10)), "{amounts:?}");
    }
    let (_, told) = place.fails(&["-r", "r", "chain", "export", "-t", "e"]);
    assert!(told.contains("holds a chain already"), "{told}");
    let one = ["-r", "r", "chain", "export", all[1], "-t", "one"];
    assert_eq!(place.messages("exported", &one).len(), 1);
    place.lifeboat(&["-r", "again", "init"]);
    place.lifeboat(&["-r", "again", "chain", "import", "z"]);
    for (id, content) in place.snapshots("again").iter().zip(&chain.contents) {
        assert!(place.restored(&["-r", "again"], id) == *content);
    }
}

#[test]
fn a_chain_is_merged_into_one_disk() {
    let Some(chain) = Chain::new() else { return };
    let place = &chain.place;
    for (target, more) in [("m.qcow2", None), ("p.qcow2", Some("--no-compress"))] {
        let mut arguments = vec!["chain", "merge", "c/two.qcow2", "-t", target];
        arguments.extend(more);
        let done = place.messages("summary", &arguments);
        assert_eq!(done[0]["verified"], true);
        place.tool(&chain.image, &["check", "-q", "-f", "qcow2", target]);
        place.tool(&chain.image, &["compare", "-q", target, "c/two.qcow2"]);
        let told = place.tool(&chain.image, &["info", "--output=json", target]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert!(told.get("backing-filename").is_none());
        assert!(told["actual-size"].as_u64() < Some(8 << 20), "{told}");
        let (_, told) = place.fails(&arguments);
        assert!(told.contains(target), "{told}");
    }
    let (_, told) = place.fails(&["chain", "merge", "c/gone.qcow2", "-t", "x.qcow2"]);
    assert!(told.contains("gone.qcow2"), "{told}");
    assert!(!place.path("x.qcow2").exists());
}
