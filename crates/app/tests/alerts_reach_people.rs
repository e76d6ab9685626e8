//! Alerts through the service: level by level until somebody acknowledges, over kills, and the end
//! to everybody who was told.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use lifeboat_testkit::{MailServer, Manner, WebServer, header, lighten_key, tool};
use serde_json::Value;

use crate::the_service_keeps_and_tells::Host;

const MAIL_PASSWORD: &str = "open sesame";
const HOOK_TOKEN: &str = "s3cret-token";
const SIGNING_KEY: &str = "signing-key";

/// A host with two jobs whose backups fail while a file is there, and three levels of people.
struct Stage {
    host: Host,
    mail: MailServer,
    hook: WebServer,
    /// Notices by mail that were seen, by their ids: a kill may let one arrive twice.
    mails: BTreeSet<String>,
    posts: BTreeSet<String>,
}

impl Stage {
    /// Nothing where the mail server is missing.
    fn new() -> Option<Self> {
        let mail = MailServer::start(&["starttls", "auth"])?;
        let hook = WebServer::start(Manner::Answers("204 No Content"));
        let host = Host::new();
        lighten_key(&host.path("repository"), "secret");
        host.write_secret("mail.password", MAIL_PASSWORD);
        let url = format!("http://127.0.0.1:{}/hooks/{HOOK_TOKEN}", hook.port);
        host.write_secret("hook.url", &url);
        host.write_secret("hook.key", SIGNING_KEY);
        let more = settings(&host, &mail);
        for name in ["front", "back"] {
            fs::write(host.path(name), vec![7; 1 << 20]).unwrap();
        }
        host.configure("1d", &more);
        Some(Self {
            host,
            mail,
            hook,
            mails: BTreeSet::new(),
            posts: BTreeSet::new(),
        })
    }

    fn kill_and_serve(&mut self) {
        self.host.signal("KILL");
        self.host.serve();
    }

    fn run_both(&self) {
        for job in ["front", "back"] {
            let begun = self.host.run(&["run", job, "--detach"]);
            assert!(begun.status.success(), "{begun:?}");
        }
    }

    /// The next mail that is not one of those before.
    fn next_mail(&mut self) -> Value {
        loop {
            let mail = self.mail.mail();
            if self.mails.insert(of_header(&mail, "Message-ID")) {
                return mail;
            }
        }
    }

    /// The next notice of the web hook that is not one of those before, with a right signature.
    fn next_post(&mut self) -> Value {
        loop {
            let (head, body) = self.hook.request();
            let signed = header(&head, "X-Lifeboat-Signature").unwrap();
            assert_eq!(signed, signature(&self.host, &body));
            let notice: Value = serde_json::from_slice(&body).unwrap();
            let id = notice["id"].as_str().unwrap();
            assert_eq!(header(&head, "Idempotency-Key"), Some(id));
            if self.posts.insert(id.to_owned()) {
                return notice;
            }
        }
    }

    /// The open alert of a job, as the API shows it.
    fn alert(&self, job: &str) -> Value {
        let alerts = self.host.get("/api/v1/alerts").unwrap();
        let mut alerts = alerts.as_array().unwrap().iter();
        let found = alerts.find(|it| it["job"] == job && it["cleared"].is_null());
        found
            .unwrap_or_else(|| panic!("there is no alert of {job}"))
            .clone()
    }

    fn phone(&self) -> String {
        fs::read_to_string(self.host.path("phone")).unwrap_or_default()
    }
}

/// A mail server and a job whose repository is gone; a run of it waits for the service.
#[test]
fn a_run_that_fails_before_the_first_look_is_mailed_with_what_helps() {
    let Some(mail) = MailServer::start(&[]) else {
        return;
    };
    let mut host = Host::new();
    let folder = host.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    let more = format!(
        r#"
[repositories.vault]
place = "{folder}/nowhere"
password_file = "{folder}/password"
[policies.short]
retry_times = 0
rpo = "1d"
[jobs.front]
platform = "files"
repository = "vault"
policy = "short"
[notifications.targets.mail]
kind = "smtp"
server = "localhost:{port}"
tls = "none"
from = "lifeboat <backup@example.org>"
to = ["ada@example.org"]
[[notifications.routes]]
jobs = ["front"]
to = ["mail"]
group_wait = "1h"
per_run = "failure"
"#,
        port = mail.port,
    );
    host.configure("1d", &more);
    let begun = host.run(&["run", "front", "--detach"]);
    assert!(begun.status.success(), "{begun:?}");
    host.serve();
    let mail = mail.mail();
    let machines = host.get("/api/v1/machines").unwrap();
    let name = machines[0]["name"].as_str().unwrap();
    let subject = of_header(&mail, "Subject");
    let expected = format!("[lifeboat here] FAILED: job front, run 1: {name}");
    assert_eq!(subject, expected);
    let plain = mail["plain"].as_str().unwrap();
    let lines: Vec<&str> = plain.lines().collect();
    assert!(lines.iter().all(|it| it.chars().count() <= 78), "{plain}");
    assert_eq!(plain.matches("nowhere").count(), 1, "{plain}");
    let helps = [
        "see what is missing: is it mounted, is its name right?",
        "lifeboat doctor",
        "when it is there, do it again",
        &format!("lifeboat run front -m {name}"),
    ];
    let places: Vec<usize> = helps.iter().filter_map(|it| plain.find(it)).collect();
    assert!(places.len() == 4 && places.is_sorted(), "{plain}");
    // The place itself is told of, too: who has it in other jobs is warned.
    host.wait("the repository is said to be gone", || {
        let alerts = host.get("/api/v1/alerts").unwrap_or_default();
        let mut alerts = alerts.as_array().into_iter().flatten();
        alerts.any(|it| it["condition"] == "unreachable" && it["repository"] == "vault")
    });
}

/// What is configured beside what every host has.
fn settings(host: &Host, mail: &MailServer) -> String {
    let folder = host.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    let mut more = format!(
        r#"
[notifications]
dashboard = "https://backup.example.org:8443/"
[notifications.targets.mail]
kind = "smtp"
server = "localhost:{mail_port}"
ca_file = "{certificate}"
from = "lifeboat <backup@example.org>"
to = ["ada@example.org"]
user = "ada"
password_file = "{folder}/mail.password"
[notifications.targets.hook]
kind = "webhook"
url_file = "{folder}/hook.url"
signing_key_file = "{folder}/hook.key"
[notifications.targets.phone]
kind = "command"
run = ["/bin/sh", "-c", "cat >> {folder}/phone; echo >> {folder}/phone"]
[[notifications.routes]]
name = "people"
jobs = ["front", "back"]
escalation = "duty"
group_wait = "0s"
[[notifications.escalations.duty.levels]]
to = ["mail"]
respond_within = "8s"
[[notifications.escalations.duty.levels]]
to = ["hook"]
respond_within = "15s"
[[notifications.escalations.duty.levels]]
to = ["phone"]
[policies.short]
retry_times = 0
"#,
        mail_port = mail.port,
        certificate = mail.certificate().display(),
    );
    for name in ["front", "back"] {
        more += &format!(
            r#"[platforms.{name}]
uri = "plain:{folder}/{name}"
[jobs.{name}]
platform = "{name}"
repository = "main"
policy = "short"
[[jobs.{name}.pre_snapshot]]
run = ["/bin/sh", "-c", "test ! -e {folder}/broken || {{ echo out of luck >&2; exit 7; }}"]
"#
        );
    }
    more
}

fn of_header(mail: &Value, name: &str) -> String {
    let mut all = mail["headers"].as_array().unwrap().iter();
    let named = all.find(|it| it[0].as_str().unwrap().eq_ignore_ascii_case(name));
    named.unwrap()[1].as_str().unwrap().to_owned()
}

/// Another program's word for it.
fn signature(host: &Host, body: &[u8]) -> String {
    let file = host.path("body");
    fs::write(&file, body).unwrap();
    let output = Command::new(tool("openssl").unwrap())
        .args(["dgst", "-sha256", "-hmac", SIGNING_KEY])
        .arg(file)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    format!("sha256={}", printed.trim().rsplit(' ').next().unwrap())
}

/// The jobs that a notice tells of, with what happened to each.
fn items(notice: &Value) -> Vec<(String, String)> {
    let items = notice["content"]["items"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    items
        .map(|it| {
            let job = text(&it["condition"]["subject"]["job"]);
            (job, text(&it["event"]))
        })
        .collect()
}

#[test]
fn an_alert_climbs_until_somebody_takes_it_and_its_end_reaches_all() {
    let Some(mut stage) = Stage::new() else {
        return;
    };
    try_the_ways(&mut stage);
    stage.host.serve();
    fs::write(stage.host.path("broken"), "").unwrap();
    stage.run_both();
    first_level(&mut stage);
    stage.kill_and_serve();
    second_level(&mut stage);
    stage.kill_and_serve();
    // Nobody has taken the other one: the third level hears of it, and of nothing else.
    stage.host.wait("the third level", || {
        stage.phone().contains("\"job\":\"back\"")
    });
    assert!(
        !stage.phone().contains("\"job\":\"front\""),
        "{}",
        stage.phone()
    );
    fs::remove_file(stage.host.path("broken")).unwrap();
    stage.run_both();
    end(&mut stage);
    let log = stage.host.log();
    for secret in [MAIL_PASSWORD, HOOK_TOKEN, SIGNING_KEY] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// What `notify test` sends arrives, and says that it is a test.
fn try_the_ways(stage: &mut Stage) {
    for target in ["mail", "hook", "phone"] {
        let tried = stage.host.run(&["notify", "test", target]);
        assert!(tried.status.success(), "{tried:?}");
    }
    let mail = stage.next_mail();
    let subject = "[lifeboat here] TEST: notices reach \"mail\"";
    assert_eq!(of_header(&mail, "Subject"), subject);
    assert_eq!(
        (&mail["is_encrypted"], &mail["is_known"]),
        (&true.into(), &true.into())
    );
    let plain = mail["plain"].as_str().unwrap();
    assert!(plain.contains("There is nothing to do."), "{plain}");
    assert!(
        plain.contains("https://backup.example.org:8443\n"),
        "{plain}"
    );
    assert_eq!(stage.next_post()["content"]["kind"], "test");
    assert!(stage.phone().contains("\"kind\":\"test\""));
    fs::remove_file(stage.host.path("phone")).unwrap();
    let tried = stage.host.run(&["notify", "test", "mial"]);
    let said = String::from_utf8_lossy(&tried.stderr).into_owned();
    assert!(said.contains("did you mean \"mail\"?"), "{said}");
}

/// Mail tells of both, why, and what to do.
fn first_level(stage: &mut Stage) {
    let mut told = String::new();
    while !(told.contains("job front") && told.contains("job back")) {
        let mail = stage.next_mail();
        assert!(of_header(&mail, "Subject").starts_with("[lifeboat here] WARNING: "));
        told += mail["plain"].as_str().unwrap();
    }
    let number = &stage.alert("front")["id"];
    for part in [
        "WARNING: ",
        ": the last backup of ",
        "ended with exit code 7: out of luck",
        ", job front, site here",
        "do it again",
        "lifeboat run front -m ",
        &format!("lifeboat alert acknowledge {number}"),
        &format!("https://backup.example.org:8443/alerts#alert-{number}"),
    ] {
        assert!(told.contains(part), "{part} is missing:\n{told}");
    }
}

/// The web hook is told of both; one is taken as soon as it comes.
fn second_level(stage: &mut Stage) {
    let mut left = BTreeSet::from(["front", "back"]);
    while !left.is_empty() {
        let notice = stage.next_post();
        assert_eq!(notice["level"], 2);
        for (job, event) in items(&notice) {
            assert_eq!(event, "escalated");
            assert!(left.remove(job.as_str()), "{job} came twice");
            if job == "front" {
                let number = stage.alert("front")["id"].to_string();
                let taken = stage.host.run(&["alert", "acknowledge", &number]);
                assert!(taken.status.success(), "{taken:?}");
            }
        }
    }
    // Everybody sees who it was.
    let by = stage.alert("front")["acknowledged_by"].clone();
    let listed = stage.host.run(&["alert", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let number = format!(" {} ", stage.alert("front")["id"]);
    let row = listed.lines().find(|row| row.starts_with(&number));
    assert!(row.unwrap().contains(by.as_str().unwrap()), "{listed}");
    assert!(stage.alert("back")["acknowledged_by"].is_null());
    // Nothing is told a second time by the first level, also not by the service after the kill.
    if let Some(mail) = stage.mail.mail_at_hand() {
        assert!(
            stage.mails.contains(&of_header(&mail, "Message-ID")),
            "{mail}"
        );
    }
}

/// Everybody who was told is told that it is over.
fn end(stage: &mut Stage) {
    let mut left = BTreeSet::from(["front", "back"]);
    while !left.is_empty() {
        for (job, event) in items(&stage.next_post()) {
            assert_eq!(event, "resolved");
            assert!(left.remove(job.as_str()), "{job} came twice");
        }
    }
    let mut told = String::new();
    while !(told.contains("job front") && told.contains("job back")) {
        let mail = stage.next_mail();
        assert!(of_header(&mail, "Subject").starts_with("[lifeboat here] RESOLVED: "));
        told += mail["plain"].as_str().unwrap();
    }
    stage.host.wait("the third level hears of the end", || {
        stage.phone().contains("\"event\":\"resolved\"")
    });
    assert!(
        !stage.phone().contains("\"job\":\"front\""),
        "{}",
        stage.phone()
    );
}
