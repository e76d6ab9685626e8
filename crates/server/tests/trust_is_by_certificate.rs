//! Who trusts the own authority is served; nobody else is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lifeboat_api::{Client, ClientOptions, Role, RunRequest, RunState};
use lifeboat_model::{ErrorKind, Secret};
use lifeboat_server::{Encryption, Server, ServerOptions};

use crate::stage::{Stage, Wishes};

fn encrypted() -> Stage {
    Stage::with(Wishes {
        is_encrypted: true,
        ..Wishes::default()
    })
}

fn client(stage: &Stage, authority: Option<Vec<u8>>, role: Role) -> Client {
    let options = ClientOptions {
        address: format!("https://localhost:{}", stage.address.port()),
        authority,
        token: Some(Secret::new(stage.token(role, &[]).into_bytes())),
        patience: Duration::from_secs(30),
    };
    Client::new(options).unwrap()
}

fn authority(stage: &Stage) -> Vec<u8> {
    fs::read(stage.folder.path().join("tls/ca.pem")).unwrap()
}

#[test]
fn the_client_works_with_the_own_authority_and_not_without() {
    let stage = encrypted();
    let stranger = client(&stage, None, Role::Viewer);
    let error = stranger.health().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("ca.pem"), "{error}");
    let operator = client(&stage, Some(authority(&stage)), Role::Operator);
    assert!(operator.health().unwrap().is_up);
    assert_eq!(operator.overview().unwrap().site.as_deref(), Some("berlin"));
    let first = operator.machines(2).unwrap();
    let second = operator.next(&first).unwrap().unwrap();
    assert_eq!((first.rows.len(), second.rows.len()), (2, 1));
    assert!(operator.next(&second).unwrap().is_none());
    assert_eq!(operator.points(Some("web01"), 9).unwrap().rows.len(), 3);
    assert_eq!(operator.jobs().unwrap()[0].name, "web");
    let request = RunRequest::Check {
        repository: "main".into(),
    };
    let begun = operator.begin(&request).unwrap();
    assert_eq!(operator.run(begun.run).unwrap().run.state, RunState::Open);
    operator.cancel(begun.run).unwrap();
    assert_eq!(operator.runs(1).unwrap().rows[0].state, RunState::Cancelled);
    assert_eq!(operator.task(1).unwrap().steps[0].name, "validate");
    assert_eq!(operator.log(1, 9).unwrap().rows[0].line, "looking");
    let alert = operator.alerts(9).unwrap().rows.remove(0);
    operator.acknowledge(alert.id).unwrap();
    assert!(
        operator.alerts(9).unwrap().rows[0]
            .acknowledged_by
            .is_some()
    );
    let error = operator.run(999_999).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn openssl_trusts_it_too_in_both_versions() {
    let stage = encrypted();
    let file = stage.folder.path().join("tls/ca.pem");
    for version in ["-tls1_2", "-tls1_3"] {
        let mut tool = Command::new("openssl");
        let place = stage.address.to_string();
        tool.args([
            "s_client",
            "-connect",
            &place,
            "-verify_return_error",
            version,
        ]);
        tool.args(["-verify_hostname", "backup.example.org", "-CAfile"])
            .arg(&file);
        let output = tool.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    }
    let old = Command::new("openssl")
        .args([
            "s_client",
            "-tls1_1",
            "-connect",
            &stage.address.to_string(),
        ])
        .stdin(Stdio::null())
        .output();
    assert!(!old.unwrap().status.success());
}

#[test]
fn curl_speaks_the_second_version_and_is_told_to_stay_with_tls() {
    let stage = encrypted();
    let address = format!("https://localhost:{}/api/v1/health", stage.address.port());
    let mut tool = Command::new("curl");
    tool.args(["-sS", "-D", "-", "--http2", &address, "--cacert"]);
    let output = tool
        .arg(stage.folder.path().join("tls/ca.pem"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("HTTP/2 200"), "{said} {output:?}");
    assert!(
        said.contains("strict-transport-security: max-age=31536000"),
        "{said}"
    );
}

#[test]
fn the_authority_is_kept_and_its_key_is_nobody_elses() {
    let stage = encrypted();
    let folder = stage.folder.path().join("tls");
    let mode = |name: &str| {
        fs::metadata(folder.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("ca-key.pem"), 0o600);
    assert_eq!(mode("ca.pem"), 0o644);
    let again = bind(
        &stage,
        Encryption::Own {
            folder: folder.clone(),
            names: Vec::new(),
        },
    );
    assert_eq!(again.unwrap().fingerprint(), stage.fingerprint);
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(folder.join("ca.pem"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert_eq!(said.split('=').nth(1), stage.fingerprint.as_deref());
}

fn bind(stage: &Stage, encryption: Encryption) -> lifeboat_server::Result<Server> {
    let options = ServerOptions {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        encryption,
        limits: lifeboat_server::Limits::default(),
        say: std::sync::Arc::new(|_| {}),
    };
    Server::bind(options, std::sync::Arc::clone(&stage.state))
}

fn make_certificate(folder: &Path, name: &str) {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout"])
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn shown_name(stage: &Stage) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &stage.address.to_string()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find(|line| line.starts_with("subject="));
    line.unwrap_or("nothing").replace(' ', "")
}

#[test]
fn given_certificates_are_shown_and_changed_ones_later_too() {
    let folder = tempfile::tempdir().unwrap();
    make_certificate(folder.path(), "first");
    let files = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let stage = Stage::with(Wishes {
        files: Some(files.clone()),
        ..Wishes::default()
    });
    assert_eq!(shown_name(&stage), "subject=CN=first");
    make_certificate(folder.path(), "second");
    let mut looks = 0;
    while shown_name(&stage) != "subject=CN=second" {
        looks += 1;
        assert!(looks < 600, "the new certificate is not shown");
        std::thread::sleep(Duration::from_millis(100));
    }
    fs::write(&files.0, "broken").unwrap();
    let (certificate, key) = files;
    let error = bind(&stage, Encryption::Files { certificate, key });
    assert!(error.err().unwrap().to_string().contains("cert.pem"));
    assert_eq!(shown_name(&stage), "subject=CN=second");
}

#[test]
fn nothing_is_served_unencrypted_to_other_machines() {
    let stage = Stage::new();
    let options = ServerOptions {
        listen: vec!["0.0.0.0:0".parse().unwrap()],
        encryption: Encryption::None,
        limits: lifeboat_server::Limits::default(),
        say: std::sync::Arc::new(|_| {}),
    };
    let error = Server::bind(options, std::sync::Arc::clone(&stage.state))
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = "http://localhost:1@other.example.org".to_owned();
    for address in [
        "http://example.org".to_owned(),
        "ftp://localhost".to_owned(),
        text,
    ] {
        let options = ClientOptions {
            address,
            authority: None,
            token: None,
            patience: Duration::from_secs(1),
        };
        assert_eq!(Client::new(options).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
