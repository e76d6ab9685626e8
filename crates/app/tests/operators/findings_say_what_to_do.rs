//! `lifeboat doctor` finds what was planted, names it by a code, and says what to do.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use lifeboat_catalog::{Node, RepositorySize};
use lifeboat_testkit::SeededEntropy;
use serde_json::Value;

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

#[test]
fn a_sound_site_has_nothing_wrong() {
    let site = Site::new();
    site.init();
    let catalog = site.catalog();
    fs::set_permissions(site.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    catalog.greet(&node(&site)).unwrap();
    let (code, told) = site.told(&["doctor"]);
    assert!(told.contains("\nnothing is wrong; "), "{told}");
    assert_eq!(code, 0, "{told}");
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
    let size = RepositorySize {
        at: site.ago(1),
        bytes: 3 << 30,
        bytes_unpacked: 0,
        bytes_restored: 0,
        blobs: 0,
        snapshots: 0,
    };
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
