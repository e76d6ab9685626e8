//! An archive is a restic repository in a tar: it is read by lifeboat, and by restic after tar.

use std::fs;

use lifeboat_testkit::tool;

use crate::{Place, flip};

const OTHER: [&str; 4] = ["-r", "q", "-p", "other"];

fn other(rest: &[&'static str]) -> Vec<&'static str> {
    [&OTHER, rest].concat()
}

#[test]
fn all_snapshots_go_there_and_back() {
    let place = Place::new();
    let contents = place.two_backups();
    let done = place.messages("summary", &["-r", "r", "export", "-t", "a.tar"]);
    assert_eq!(done[0]["snapshots"], 2);
    assert_eq!(
        done[0]["archive_bytes"],
        fs::metadata(place.path("a.tar")).unwrap().len()
    );
    place.lifeboat(&other(&["init"]));
    let import = other(&["import", "a.tar", "--archive-password-file", "password"]);
    let imported = place.messages("imported", &import);
    assert!(imported.iter().all(|line| line["state"] == "imported"));
    let new: Vec<&str> = imported
        .iter()
        .filter_map(|l| l["snapshot_id"].as_str())
        .collect();
    for (snapshot, content) in new.iter().zip(&contents) {
        assert!(place.restored(&OTHER, snapshot) == *content, "{snapshot}");
    }
    let again = place.messages("imported", &import);
    assert!(again.iter().all(|line| line["state"] == "already there"));
    place.lifeboat(&other(&["check", "--read-data"]));
    let back = place.messages("imported", &["-r", "r", "import", "a.tar"]);
    assert!(back.iter().all(|line| line["state"] == "already there"));
}

#[test]
fn one_snapshot_with_a_password_of_its_own() {
    let place = Place::new();
    let contents = place.two_backups();
    let id = &place.snapshots("r")[0];
    let password = "--archive-password-file";
    place.lifeboat(&["-r", "r", "export", id, "-t", "a.tar", password, "other"]);
    place.lifeboat(&["-r", "fresh", "init"]);
    let (code, told) = place.fails(&["-r", "fresh", "import", "a.tar"]);
    assert_eq!(code, 12, "{told}");
    place.lifeboat(&["-r", "fresh", "import", "a.tar", password, "other"]);
    assert!(place.restored(&["-r", "fresh"], "latest") == contents[0]);
    assert_eq!(place.snapshots("fresh").len(), 1);
    let (code, told) = place.fails(&["-r", "r", "export", "-t", "a.tar"]);
    assert!(code == 1 && told.contains("exists already"), "{told}");
}

#[test]
fn stock_restic_opens_what_tar_unpacks() {
    let (Some(tar), Some(restic)) = (tool("tar"), tool("restic")) else {
        return;
    };
    let place = Place::new();
    let contents = place.two_backups();
    for (name, more) in [("a", None), ("b", Some("--without-metadata"))] {
        let archive = format!("{name}.tar");
        let mut arguments = vec!["-r", "r", "export", "-t", &archive];
        arguments.extend(more);
        place.lifeboat(&arguments);
        fs::create_dir(place.path(name)).unwrap();
        place.tool(&tar, &["-xf", &archive, "-C", name]);
        place.tool(&restic, &["-r", name, "check", "--read-data"]);
        let out = format!("out-{name}");
        place.tool(
            &restic,
            &["-r", name, "restore", "latest", "--target", &out],
        );
        let restored = fs::read(place.path(&out).join("disks/vda.raw")).unwrap();
        assert!(restored == contents[1], "{name}");
    }
    let listed = place.tool(&restic, &["-r", "b", "ls", "latest"]);
    let files: Vec<&str> = listed.lines().filter(|l| l.starts_with('/')).collect();
    assert_eq!(files, ["/disks", "/disks/vda.raw"]);
    let told = place.tool(&restic, &["-r", "b", "snapshots", "--json"]);
    assert!(!told.contains("web01") && !told.contains("night"), "{told}");
}

#[test]
fn disks_without_metadata_become_a_machine_again() {
    let place = Place::new();
    let contents = place.two_backups();
    place.lifeboat(&["-r", "r", "export", "-t", "a.tar", "--without-metadata"]);
    place.lifeboat(&["-r", "q", "init"]);
    let (code, told) = place.fails(&["-r", "q", "import", "a.tar"]);
    assert!(code == 2 && told.contains("--as-machine"), "{told}");
    let import = ["-r", "q", "import", "a.tar", "--as-machine", "new"];
    let imported = place.messages("imported", &import);
    assert!(imported.iter().all(|line| line["machine"] == "new"));
    for (line, content) in imported.iter().zip(&contents) {
        let id = line["snapshot_id"].as_str().unwrap();
        assert!(place.restored(&["-r", "q"], id) == *content);
    }
    let again = place.messages("imported", &import);
    assert!(again.iter().all(|line| line["state"] == "already there"));
    // Equal chunk lists have equal roots.
    let roots = |repository| {
        let told = place.lifeboat(&["-r", repository, "catalog", "export"]);
        let catalog: serde_json::Value = serde_json::from_str(&told).unwrap();
        let list = catalog["snapshots"].as_array().unwrap().clone();
        let roots = list.iter().map(|s| s["disks"][0]["root"].to_string());
        roots.collect::<Vec<_>>()
    };
    assert_eq!(roots("q"), roots("r"));
    place.lifeboat(&["-r", "q", "check", "--read-data"]);
    place.lifeboat(&["-r", "q", "backup", "-m", "new", "-d", "vda=vda.raw"]);
}

#[test]
fn damaged_ones_are_refused() {
    let place = Place::new();
    place.two_backups();
    place.lifeboat(&["-r", "r", "export", "-t", "a.tar"]);
    place.lifeboat(&["-r", "q", "init"]);
    let size = fs::metadata(place.path("a.tar")).unwrap().len();
    let whole = fs::read(place.path("a.tar")).unwrap();
    for step in 1..8 {
        let cut = size * step / 8;
        fs::write(place.path("cut.tar"), &whole[..cut as usize]).unwrap();
        let (code, told) = place.fails(&["-r", "q", "import", "cut.tar"]);
        assert!(code == 25 && told.contains("cut off"), "{cut}: {told}");
    }
    // The largest pack begins behind its header; its middle holds sealed chunks.
    fs::write(place.path("flipped.tar"), &whole).unwrap();
    flip(&place.path("flipped.tar"), size / 2);
    let (code, told) = place.fails(&["-r", "q", "import", "flipped.tar"]);
    assert_eq!(code, 25, "{told}");
    assert!(place.snapshots("q").is_empty(), "nothing half was recorded");
    let (code, told) = place.fails(&["-r", "q", "import", "vda.raw"]);
    assert!(code == 2 && told.contains("no archive"), "{told}");
    place.lifeboat(&["-r", "q", "check", "--read-data"]);
}

#[test]
fn trial_runs_write_nothing() {
    let place = Place::new();
    place.two_backups();
    let told = place.lifeboat(&["-r", "r", "export", "-n", "-t", "a.tar"]);
    assert!(told.contains("would export 2 snapshots"), "{told}");
    assert!(!place.path("a.tar").exists());
    place.lifeboat(&["-r", "r", "export", "-t", "a.tar"]);
    place.lifeboat(&["-r", "q", "init"]);
    let told = place.lifeboat(&["-r", "q", "import", "-n", "a.tar"]);
    assert!(told.contains("would import 2 snapshots"), "{told}");
    assert!(place.snapshots("q").is_empty());
    place.lifeboat(&["-r", "q", "import", "a.tar"]);
    let told = place.lifeboat(&["-r", "q", "import", "-n", "a.tar"]);
    assert!(told.contains("would import 0 snapshots"), "{told}");
}
