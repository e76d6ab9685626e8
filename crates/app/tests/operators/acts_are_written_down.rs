//! What people do by commands is in the audit log, and a log whose key is gone is not judged.

use std::fs;

use super::site::Site;

/// Exit code and complaint of a command that is refused.
fn refusal(site: &Site, words: &[&str]) -> (Option<i32>, String) {
    let output = site.run(words);
    assert!(!output.status.success(), "{words:?}: {output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), text)
}

fn works(site: &Site, words: &[&str]) {
    let output = site.run(words);
    assert!(output.status.success(), "{words:?}: {output:?}");
}

/// Action, subject, command and whether it was done, oldest first.
fn log(site: &Site) -> Vec<[String; 4]> {
    let entries = site.json(&["audit", "list"]);
    let entries = entries.iter().map(|entry| {
        let keys = ["action", "subject", "details", "is_done"];
        keys.map(|key| entry[key].to_string().replace('"', ""))
    });
    entries.collect()
}

/// Three points of the job `web`, of which its rules keep one.
fn three_points(site: &Site) {
    site.init();
    for _ in 0..3 {
        works(site, &["run", "web"]);
    }
    let text = fs::read_to_string(site.path("lifeboat.toml")).unwrap();
    let text = text.replace("keep_last = 3", "keep_last = 1");
    site.write("lifeboat.toml", &text, 0o600);
}

#[test]
fn what_changes_something_is_there_and_what_only_looks_is_not() {
    let site = Site::new();
    three_points(&site);
    let forget = ["-r", "@main", "forget", "--job", "@web"];
    works(&site, &["-r", "@main", "snapshots"]);
    // Who looks first is shown what would go, and that it would be refused.
    let looked = site.run(&[&forget[..], &["--dry-run"]].concat());
    let shown = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert_eq!(shown.matches("remove").count(), 2, "{shown}");
    assert!(String::from_utf8_lossy(&looked.stderr).contains("more than 50%"));
    assert_eq!(looked.status.code(), refusal(&site, &forget).0);
    let tag = ["-r", "@main", "tag", "latest", "--add"];
    let (_, wrong) = refusal(&site, &[&tag[..], &["pinned-until=2027-99-01"]].concat());
    assert!(wrong.contains("pinned-until=2027-01-31"), "{wrong}");
    works(&site, &[&tag[..], &["pinned-until=2027-01-31"]].concat());
    works(&site, &[&forget[..], &["--allow-many"]].concat());
    let [run, tagged] = ["run web", "-r @main tag latest --add pinned-until=2027-"];
    let expected = [
        ("run", "web", run, "true"),
        ("run", "web", run, "true"),
        ("run", "web", run, "true"),
        ("forget", "@main", "-r @main forget --job @web", "false"),
        ("tag", "@main", &format!("{tagged}99-01"), "false"),
        ("tag", "@main", &format!("{tagged}01-31"), "true"),
        (
            "forget",
            "@main",
            "-r @main forget --job @web --allow-many",
            "true",
        ),
    ];
    let expected = expected.map(|(action, subject, words, is_done)| {
        [action, subject, &format!("lifeboat {words}"), is_done].map(str::to_owned)
    });
    assert_eq!(log(&site), expected);
    works(&site, &["audit", "verify"]);
}

#[test]
fn a_log_without_its_key_is_neither_judged_nor_written() {
    let site = Site::new();
    drop(site.catalog());
    site.init();
    let key = site.path("state/audit.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    for words in [&["audit", "verify"][..], &["user", "remove", "eve"]] {
        let (_, told) = refusal(&site, words);
        assert!(told.contains("bring it back"), "{told}");
    }
    assert!(!key.exists());
    fs::write(&key, kept).unwrap();
    works(&site, &["audit", "verify"]);
    assert_eq!(log(&site).len(), 1);
}
