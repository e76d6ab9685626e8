//! A catalog says what is missing, and stores records again whose data is still there.

use std::fs;

use serde_json::Value;

use crate::{Place, messages};

fn catalog(place: &Place, repository: &str) -> Value {
    let told = place.lifeboat(&["-r", repository, "catalog", "export"]);
    serde_json::from_str(&told).unwrap()
}

#[test]
fn lost_records_come_back() {
    let place = Place::new();
    let contents = place.two_backups();
    let ids = place.snapshots("r");
    place.lifeboat(&["-r", "r", "catalog", "export", "-t", "c.json"]);
    place.lifeboat(&["-r", "r", "catalog", "compare", "c.json"]);
    for id in &ids {
        fs::remove_file(place.path("r/snapshots").join(id)).unwrap();
    }
    let (code, _) = place.fails(&["-r", "r", "catalog", "compare", "c.json"]);
    assert_eq!(code, 20);
    let plan = ["-r", "r", "catalog", "import", "c.json"];
    let dry = place.messages("summary", &[&plan[..], &["-n"]].concat());
    assert_eq!(
        (&dry[0]["restored"], &dry[0]["dry_run"]),
        (&2.into(), &true.into())
    );
    assert!(place.snapshots("r").is_empty());
    let done = place.messages("summary", &plan);
    assert_eq!(
        (&done[0]["restored"], &done[0]["lost"]),
        (&2.into(), &0.into())
    );
    for (id, content) in place.snapshots("r").iter().zip(&contents) {
        assert!(place.restored(&["-r", "r"], id) == *content, "{id}");
    }
    let again = place.messages("summary", &plan);
    assert_eq!(
        (&again[0]["present"], &again[0]["restored"]),
        (&2.into(), &0.into())
    );
    place.lifeboat(&["-r", "r", "catalog", "compare", "c.json"]);
    place.lifeboat(&["-r", "r", "check", "--read-data"]);
}

#[test]
fn also_between_the_two_phases_of_a_prune() {
    let place = Place::new();
    let contents = place.two_backups();
    place.lifeboat(&["-r", "r", "catalog", "export", "-t", "c.json"]);
    let first = place.snapshots("r").remove(0);
    place.lifeboat(&["-r", "r", "forget", &first]);
    place.lifeboat(&["-r", "r", "prune", "--max-unused", "0"]);
    place.lifeboat(&["-r", "r", "catalog", "import", "c.json"]);
    let back = place.snapshots("r").remove(0);
    assert!(place.restored(&["-r", "r"], &back) == contents[0]);
    place.lifeboat(&["-r", "r", "prune", "--instant"]);
    assert!(place.restored(&["-r", "r"], &back) == contents[0]);
    place.lifeboat(&["-r", "r", "check", "--read-data"]);
}

#[test]
fn what_is_really_gone_is_said() {
    let place = Place::new();
    place.two_backups();
    place.lifeboat(&["-r", "r", "catalog", "export", "-t", "c.json"]);
    place.lifeboat(&["-r", "q", "init"]);
    let arguments = ["-r", "q", "--json", "catalog", "import", "c.json"];
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_lifeboat"));
    let output = place.command(program, &arguments);
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8(output.stdout).unwrap();
    let plan = messages(&told, "plan");
    assert!(plan.iter().all(|line| line["action"] == "lost"), "{told}");
    assert!(
        plan[0]["reason"].as_str().unwrap().contains("missing"),
        "{told}"
    );
    assert!(place.snapshots("q").is_empty());
}

#[test]
fn differences_are_found() {
    let place = Place::new();
    place.two_backups();
    let (ours, path) = (catalog(&place, "r"), place.path("c.json"));
    let compare = |catalog: &Value| {
        fs::write(&path, catalog.to_string()).unwrap();
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_lifeboat"));
        let arguments = ["-r", "r", "--json", "catalog", "compare", "c.json"];
        let output = place.command(program, &arguments);
        let told = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), messages(&told, "difference"))
    };
    assert_eq!(compare(&ours), (0, Vec::new()));
    let mut root = ours.clone();
    let other = "ab".repeat(32);
    root["snapshots"][0]["root"] = other.clone().into();
    root["snapshots"][0]["record"]["tree"] = other.clone().into();
    let (code, found) = compare(&root);
    assert_eq!((code, found.len()), (20, 1));
    assert_eq!(found[0]["state"], "differs");
    assert!(
        found[0]["reason"]
            .as_str()
            .unwrap()
            .starts_with("root was abababab")
    );
    let mut disk = ours.clone();
    disk["snapshots"][1]["disks"][0]["root"] = other.clone().into();
    let (code, found) = compare(&disk);
    assert_eq!((code, &found[0]["state"]), (20, &"differs".into()));
    let mut fewer = ours.clone();
    fewer["snapshots"].as_array_mut().unwrap().remove(0);
    assert_eq!(compare(&fewer).1[0]["state"], "additional");
    let mut unknown = ours;
    unknown["snapshots"][0]["id"] = other.into();
    let states: Vec<Value> = compare(&unknown)
        .1
        .iter()
        .map(|d| d["state"].clone())
        .collect();
    assert_eq!(
        states,
        ["missing", "additional"],
        "neither id nor origin is known"
    );
}

#[test]
fn hostile_catalogs_are_refused() {
    let place = Place::new();
    place.two_backups();
    let ours = catalog(&place, "r");
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut catalog = ours.clone();
        change(&mut catalog);
        fs::write(place.path("c.json"), catalog.to_string()).unwrap();
        for command in ["import", "compare"] {
            let (code, told) = place.fails(&["-r", "r", "catalog", command, "c.json"]);
            assert!(code == 2 && told.contains("no catalog"), "{told}");
        }
    };
    broken(&|catalog| catalog["version"] = 2.into());
    broken(&|catalog| catalog["repository"] = "../x".into());
    broken(&|catalog| catalog["snapshots"][0]["id"] = "../../etc/passwd".into());
    broken(&|catalog| catalog["snapshots"][0]["root"] = "00".repeat(32).into());
    broken(&|catalog| catalog["snapshots"][1] = catalog["snapshots"][0].clone());
    broken(&|catalog| catalog["snapshots"][0]["record"] = Value::Null);
    broken(&|catalog| *catalog = "text".into());
    let large = fs::File::create(place.path("c.json")).unwrap();
    large.set_len((256 << 20) + 1).unwrap();
    let (code, told) = place.fails(&["-r", "r", "catalog", "compare", "c.json"]);
    assert!(code == 2 && told.contains("256 MiB"), "{told}");
}
