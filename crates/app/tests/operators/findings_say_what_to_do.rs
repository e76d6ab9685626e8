//! `lifeboat doctor` finds what was planted, names it by a code, and says what to do.

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use lifeboat_catalog::{Node, RepositoryFacts, RepositorySize};
use lifeboat_testkit::{SeededEntropy, lighten_key, tool};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::packages_come_and_go::well;
use super::site::{Site, begin};
use crate::trial::lifeboat;

/// It ended on 1 February 2020.
const OLD_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBADCBpgIBATAKBggqhkjOPQQDAjAMMQowCAYDVQQDDAF4MB4XDTIwMDEwMTAw
MDAwMFoXDTIwMDIwMTAwMDAwMFowDDEKMAgGA1UEAwwBeDBZMBMGByqGSM49AgEG
CCqGSM49AwEHA0IABKsXnsH28p5R+2Tri45DEhOEiS0uuzNKHny+lGhnexCMgF5M
99+x0IVBT2VzxhyREr8Hvq56qtzjBUPtmgNK+f0wCgYIKoZIzj0EAwIDSQAwRgIh
APNjS/eZxJL2k+GzTRAQHiTSr2JyCZOucnTtUeo5bsYlAiEAhE2FYeQNjc71IVyT
5D40dd7Pyz3iuMvfNdRT4gJyw4E=
-----END CERTIFICATE-----
";

/// What was found under a code: verdict, sentence and advice.
fn found(checks: &[Value], code: &str) -> (String, String) {
    let check = checks.iter().filter(|it| it["code"] == code);
    let order = ["well", "skipped", "warning", "wrong"];
    let worst = check.max_by_key(|it| order.iter().position(|name| it["verdict"] == *name));
    let worst = worst.unwrap_or_else(|| panic!("nothing was looked at as {code}: {checks:?}"));
    let text = format!("{} {} {}", worst["subject"], worst["seen"], worst["advice"]);
    (worst["verdict"].as_str().unwrap().to_owned(), text)
}

fn is_found(site: &Site, code: &str, verdict: &str, told: &str) {
    let (seen, text) = found(&site.json(&["doctor"]), code);
    assert_eq!(seen, verdict, "{code}: {text}");
    assert!(text.contains(told), "{code}: {text}");
}

/// Codes whose checks look at something on every site.
const ALWAYS: [&str; 23] = [
    "audit",
    "catalog",
    "clock.repository",
    "config",
    "host.name",
    "host.zone",
    "leftover.capture",
    "leftover.files",
    "leftover.instant",
    "platform.disks",
    "platform.reach",
    "repository.check",
    "repository.locks",
    "repository.open",
    "repository.reach",
    "repository.rights",
    "repository.size",
    "repository.space",
    "repository.version",
    "secret",
    "service.node",
    "state.folder",
    "state.space",
];

#[test]
fn a_sound_site_has_nothing_wrong() {
    let site = Site::new();
    site.init();
    let catalog = site.catalog();
    fs::set_permissions(site.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    site.clock.set(Timestamp::now());
    let now = Node {
        seen: Timestamp::now(),
        ..node(&site)
    };
    catalog.greet(&now).unwrap();
    let sound = |facts: &mut RepositoryFacts| {
        facts.size = Some(size(&site, 1 << 20));
        (facts.checked, facts.is_ok) = (Some(site.ago(24)), Some(true));
    };
    catalog.change_repository("main", sound).unwrap();
    let text = fs::read_to_string(site.path("lifeboat.toml")).unwrap();
    let folder = site.path("");
    let folder = folder.display();
    let text = text.replace("keep_last", "schedule = \"daily 02:00\"\nkeep_last");
    let text = text.replace("[platforms", "size_max = \"2G\"\n[platforms");
    let text = text.replace(
        "[catalog]",
        &format!("scratch = \"{folder}/scratch\"\n[catalog]"),
    );
    site.write("lifeboat.toml", &text, 0o600);
    fs::create_dir(site.path("scratch")).unwrap();
    site.write("long", "korrekt pferd batterie\n", 0o600);
    let output = site.run(&["user", "add", "eve", "--password-from", "long"]);
    assert!(output.status.success(), "{output:?}");
    let backup = ["-r", "@main", "backup", "-m", "web01", "-d", "vda=disk.img"];
    well(site.command(lifeboat()).args(backup));
    let server = leave_an_instant(&site);
    let checks = site.json(&["doctor"]);
    drop(server);
    for code in ALWAYS {
        let (verdict, text) = found(&checks, code);
        // This computer may have little room, and a name that no server knows.
        let is_ours = !["repository.space", "state.space", "host.name"].contains(&code);
        assert!(verdict == "well" || !is_ours, "{code}: {verdict} {text}");
    }
    let (code, told) = site.told(&["doctor"]);
    assert!(
        told.contains("leftover.instant"),
        "its server has ended: {told}"
    );
    assert_eq!(code, 1, "{told}");
    fs::remove_dir_all(site.path("instant")).unwrap();
    let (code, told) = site.told(&["doctor"]);
    assert!(told.contains("\nnothing is wrong; "), "{told}");
    assert_eq!(code, 0, "{told}");
}

fn size(site: &Site, bytes: u64) -> RepositorySize {
    RepositorySize {
        at: site.ago(1),
        bytes,
        bytes_unpacked: 0,
        bytes_restored: 0,
        blobs: 0,
        snapshots: 0,
    }
}

/// Notes a machine that runs from the repository; whoever holds the file counts as its server.
fn leave_an_instant(site: &Site) -> File {
    let state = json!({
        "version": 1, "name": "web01-instant", "platform": "qemu:///system",
        "repository": "@main", "snapshot": "0", "machine": "web01", "disks": [],
        "vm": null, "begun": "2026-01-01T00:00:00Z"
    });
    let folder = site.path("instant/web01-instant");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("instant.json"), state.to_string()).unwrap();
    let lock = folder.join("server.lock");
    fs::write(&lock, std::process::id().to_string()).unwrap();
    let lock = File::open(lock).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    lock
}

fn node(site: &Site) -> Node {
    Node {
        name: "node1".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        started: site.ago(2),
        seen: site.ago(2),
        clock_ahead: jiff::SignedDuration::ZERO,
    }
}

/// A reader that nobody reads from waits with its lock, and is killed.
fn leave_a_lock(site: &Site) {
    let disk = SeededEntropy::new(1).bytes(4 << 20);
    fs::write(site.path("vda.raw"), disk).unwrap();
    let backup = ["-r", "@main", "backup", "-m", "web01", "-d", "vda=vda.raw"];
    assert!(site.run(&backup).status.success());
    let mut command = site.command(lifeboat());
    command.args(["-r", "@main", "dump", "latest", "disks/vda.raw"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn faults_of_repositories_are_found() {
    let site = Site::new();
    is_found(&site, "repository.reach", "wrong", "init");
    site.init();
    leave_a_lock(&site);
    is_found(
        &site,
        "repository.locks",
        "warning",
        "lifeboat -r @main unlock",
    );
    let late = SystemTime::now() + Duration::from_secs(3600);
    File::create(site.path("r/snapshots/0"))
        .unwrap()
        .set_modified(late)
        .unwrap();
    is_found(&site, "clock.repository", "wrong", "in the future");
    fs::remove_file(site.path("r/snapshots/0")).unwrap();
    site.write("password", "anders\n", 0o600);
    is_found(&site, "repository.open", "wrong", "password");
    site.write("password", "geheim\n", 0o644);
    is_found(&site, "secret", "wrong", "chmod 600");
    assert_eq!(site.run(&["doctor"]).status.code(), Some(1));
}

#[test]
fn faults_of_the_computer_are_found() {
    let site = Site::new();
    drop(site.catalog());
    fs::set_permissions(site.path("state"), fs::Permissions::from_mode(0o755)).unwrap();
    is_found(&site, "state.folder", "wrong", "chmod 700");
    fs::remove_file(site.path("disk.img")).unwrap();
    is_found(&site, "platform.disks", "wrong", "disk.img");
    site.write("old.pem", OLD_CERTIFICATE, 0o644);
    site.write("key.pem", "", 0o600);
    let folder = site.path("");
    let folder = folder.display();
    site.configure(&format!(
        "[server]\ntls_certificate_file = \"{folder}/old.pem\"\n\
         tls_key_file = \"{folder}/key.pem\"\npublic_names = [\"nobody.invalid\"]\n"
    ));
    is_found(&site, "tls", "wrong", "2020-02-01 00:00:00");
    is_found(&site, "host.name", "warning", "nobody.invalid");
    site.configure("[jobs.api]\nplatform = \"hear\"\nrepository = \"main\"\n");
    is_found(&site, "config", "wrong", "there are: here");
}

#[test]
fn faults_of_the_service_are_found() {
    let site = Site::new();
    site.clock.set(site.ago(1));
    let catalog = site.catalog();
    catalog.greet(&node(&site)).unwrap();
    is_found(&site, "service.node", "wrong", "systemctl start lifeboat");
    let size = size(&site, 3 << 30);
    catalog
        .change_repository("main", |facts| facts.size = Some(size))
        .unwrap();
    let text = fs::read_to_string(site.path("lifeboat.toml")).unwrap();
    let limited = text.replace("[platforms", "size_max = \"2G\"\n[platforms");
    site.write("lifeboat.toml", &limited, 0o600);
    is_found(
        &site,
        "repository.size",
        "wrong",
        "3.000 GiB of at most 2.000 GiB",
    );
    let output = site.run(&["user", "add", "eve", "--password-from", "password"]);
    assert!(!output.status.success(), "a short password is refused");
    is_found(&site, "audit", "skipped", "");
    site.write("long", "korrekt pferd batterie\n", 0o600);
    let output = site.run(&["user", "add", "eve", "--password-from", "long"]);
    assert!(output.status.success(), "{output:?}");
    is_found(&site, "audit", "well", "1 entries");
    fs::write(site.path("state/audit.key"), [7; 32]).unwrap();
    is_found(&site, "audit", "wrong", "lifeboat audit verify");
}

#[test]
fn a_damaged_catalog_is_found_and_nothing_is_changed() {
    let site = Site::new();
    let catalog = site.catalog();
    for _ in 0..200 {
        begin(&catalog, "web01");
    }
    drop(catalog);
    is_found(&site, "catalog", "well", "whole");
    let file = File::options()
        .write(true)
        .open(site.path("state/catalog.sqlite"))
        .unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    for page in pages / 2..pages {
        file.write_all_at(&[0xa5; 64], page * 4096).unwrap();
    }
    file.sync_all().unwrap();
    is_found(&site, "catalog", "wrong", "put catalog.sqlite");
}

#[test]
fn leftovers_are_found() {
    let site = Site::new();
    site.init();
    let folder = site.path("");
    site.configure(&format!(
        "[jobs.more]\nplatform = \"here\"\nrepository = \"main\"\nscratch = \"{}scratch\"\n",
        folder.display()
    ));
    let run = site.path("scratch/lifeboat-0123456789abcdef");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("lock"), "web01\n").unwrap();
    is_found(
        &site,
        "leftover.capture",
        "warning",
        "lifeboat-0123456789abcdef",
    );
    let alive = File::open(run.join("lock")).unwrap();
    flock(&alive, FlockOperation::LockExclusive).unwrap();
    is_found(&site, "leftover.capture", "well", "");
    drop(leave_an_instant(&site));
    is_found(
        &site,
        "leftover.instant",
        "wrong",
        "lifeboat instant resume web01-instant",
    );
    fs::write(site.path("r/data/notes.txt"), "").unwrap();
    is_found(&site, "leftover.files", "warning", "data/notes.txt");
}

#[test]
fn faults_that_come_with_time_are_found() {
    let site = Site::new();
    site.init();
    let catalog = site.catalog();
    is_found(&site, "service.node", "skipped", "");
    site.clock.set(site.ago(1));
    let other = Node {
        name: "node2".into(),
        ..node(&site)
    };
    catalog.greet(&other).unwrap();
    is_found(&site, "service.node", "warning", "node2");
    let checked = |days: i64, is_ok, findings: &[&str]| {
        let change = |facts: &mut RepositoryFacts| {
            facts.checked = Some(site.ago(days * 24));
            facts.is_ok = Some(is_ok);
            facts.findings = findings.iter().map(|it| (*it).to_owned()).collect();
        };
        catalog.change_repository("main", change).unwrap();
    };
    checked(36, true, &[]);
    is_found(&site, "repository.check", "warning", "check = ");
    checked(1, false, &["pack 12 is missing"]);
    is_found(&site, "repository.check", "wrong", "pack 12 is missing");
    catalog
        .change_repository("main", |facts| facts.checked = None)
        .unwrap();
    is_found(&site, "repository.check", "warning", "never checked");
    ends_soon(&site);
    is_found(&site, "tls", "warning", "renew it");
}

/// A certificate for ten days.
fn ends_soon(site: &Site) {
    let Some(openssl) = tool("openssl") else {
        return;
    };
    let mut command = site.command(&openssl);
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    command.args([
        "-nodes", "-days", "10", "-subj", "/CN=x", "-keyout", "key.pem",
    ]);
    well(command.args(["-out", "soon.pem"]));
    let folder = site.path("");
    let folder = folder.display();
    site.configure(&format!(
        "[server]\ntls_certificate_file = \"{folder}soon.pem\"\n\
         tls_key_file = \"{folder}key.pem\"\n"
    ));
}

#[test]
fn faults_of_places_and_rights_are_found() {
    let site = Site::new();
    let Some(restic) = tool("restic") else {
        return;
    };
    let mut old = site.command(&restic);
    old.args(["-q", "-r", "r", "-p", "password", "init"]);
    well(old.args(["--repository-version", "1"]));
    lighten_key(&site.path("r"), "geheim");
    is_found(&site, "repository.version", "warning", "restic migrate");
    fs::remove_dir(site.path("r/locks")).unwrap();
    is_found(&site, "repository.rights", "wrong", "r/locks");
    fs::create_dir(site.path("r/locks")).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(site.catalog());
    site.configure(&format!(
        "[server]\nlisten = \"{address}\"\n[platforms.gone]\n\
         uri = \"qemu:///session?socket=/nowhere/libvirt-sock\"\n"
    ));
    is_found(&site, "service.listen", "warning", "change listen");
    is_found(&site, "platform.reach", "wrong", "gone");
    let mut poor = site.command(lifeboat());
    let output = poor
        .args(["doctor"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("apt-get install fuse3"), "{told}");
    is_full(&site);
}

/// A place with little room; nothing where mounting is not allowed.
fn is_full(site: &Site) {
    let place = site.path("state");
    let mut mount = Command::new("mount");
    let mount = mount
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(&place);
    if !mount.output().is_ok_and(|it| it.status.success()) {
        eprintln!("SKIPPED: a small tmpfs cannot be mounted here");
        return;
    }
    let checks = site.json(&["doctor"]);
    well(Command::new("umount").arg(&place));
    let (verdict, text) = found(&checks, "state.space");
    assert_eq!(verdict, "warning", "{text}");
    assert!(text.contains("make room"), "{text}");
}
