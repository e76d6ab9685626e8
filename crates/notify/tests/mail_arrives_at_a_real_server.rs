//! Mail through a real server: in the clear, with STARTTLS, with TLS, with a password.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use lifeboat_model::{ErrorKind, Secret};
use lifeboat_notify::{Mail, MailSecurity, MailSettings, Transport};
use lifeboat_testkit::tool;
use serde_json::Value;

use crate::doors::{LONG, MailServer, SHORT, mail_python, notice};

/// A folder with a certificate for `localhost` and its key.
struct Place {
    python: PathBuf,
    folder: tempfile::TempDir,
}

impl Place {
    /// None where a tool is missing.
    fn new() -> Option<Self> {
        let (python, openssl) = (mail_python()?, tool("openssl")?);
        let folder = tempfile::tempdir().unwrap();
        let settings = "[req]\ndistinguished_name=n\nx509_extensions=x\nprompt=no\n[n]\n\
                        CN=localhost\n[x]\nsubjectAltName=DNS:localhost\n\
                        basicConstraints=critical,CA:FALSE\n";
        fs::write(folder.path().join("settings"), settings).unwrap();
        let status = Command::new(openssl)
            .current_dir(&folder)
            .args("req -x509 -config settings -newkey ec -pkeyopt".split(' '))
            .args("ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '))
            .args("-keyout key.pem -out certificate.pem".split(' '))
            .stderr(std::process::Stdio::null())
            .status();
        assert!(status.unwrap().success());
        Some(Self { python, folder })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn serve(&self, mode: &[&str]) -> MailServer {
        let (certificate, key) = (self.file("certificate.pem"), self.file("key.pem"));
        MailServer::start(&self.python, mode, &certificate, &key)
    }

    fn settings(&self, port: u16, security: MailSecurity) -> MailSettings {
        MailSettings {
            security,
            certificates: fs::read(self.file("certificate.pem")).unwrap(),
            ..settings(port)
        }
    }
}

fn settings(port: u16) -> MailSettings {
    MailSettings {
        name: "team".to_owned(),
        host: "localhost".to_owned(),
        port,
        security: MailSecurity::None,
        user: None,
        password: None,
        from: "lifeboat <backup@example.org>".to_owned(),
        to: vec![
            "Ada <ada@example.org>".to_owned(),
            "bob@example.org".to_owned(),
        ],
        certificates: Vec::new(),
        limit: LONG,
    }
}

fn header<'a>(mail: &'a Value, name: &str) -> Vec<&'a str> {
    let all = mail["headers"].as_array().unwrap().iter();
    let named = all.filter(|it| it[0].as_str().unwrap().eq_ignore_ascii_case(name));
    named.map(|it| it[1].as_str().unwrap()).collect()
}

#[test]
fn mail_says_all_in_text_and_in_html_and_names_cannot_add_headers() {
    let Some(place) = Place::new() else {
        return;
    };
    let server = place.serve(&[]);
    let mail = Mail::new(settings(server.port)).unwrap();
    let machine = "web\r\nBcc: evil@example.org\r\n\r\n<b>büro</b>";
    mail.send(&notice(machine, "team")).unwrap();
    let taken = server.mail();
    assert_eq!(taken["from"], "backup@example.org");
    assert_eq!(
        taken["to"],
        serde_json::json!(["ada@example.org", "bob@example.org"])
    );
    assert_eq!(taken["type"], "multipart/alternative");
    let subject = "[lifeboat berlin] CRITICAL: web  Bcc: evil@example.org    <b>büro</b>: no \
                   backup for 26 h; look at its last run";
    assert_eq!(header(&taken, "Subject"), [subject]);
    assert!(header(&taken, "Bcc").is_empty());
    assert_eq!(header(&taken, "Auto-Submitted"), ["auto-generated"]);
    assert_eq!(
        header(&taken, "List-Id"),
        ["<notices.lifeboat.example.org>"]
    );
    let id = header(&taken, "Message-ID")[0].to_owned();
    assert!(
        id.starts_with("<19caf-1.") && id.ends_with("@example.org>"),
        "{id}"
    );
    assert_eq!(header(&taken, "Date").len(), 1);
    let plain = taken["plain"].as_str().unwrap();
    assert!(plain.contains("since 2026-03-01 18:00:00 UTC"), "{plain}");
    assert!(plain.contains("route all, notice 19caf-1"), "{plain}");
    let html = taken["html"].as_str().unwrap();
    assert!(
        html.contains("&lt;b&gt;büro&lt;/b&gt;") && !html.contains("<b>"),
        "{html}"
    );
    // A second attempt is the same mail: servers and readers know it by its id.
    mail.send(&notice(machine, "team")).unwrap();
    assert_eq!(header(&server.mail(), "Message-ID"), [id]);
}

#[test]
fn mail_goes_encrypted_and_with_a_password() {
    let Some(place) = Place::new() else {
        return;
    };
    let with_password = |settings: MailSettings, password: &str| MailSettings {
        user: Some("ada".to_owned()),
        password: Some(Secret::new(password.as_bytes().to_vec())),
        ..settings
    };
    let server = place.serve(&["starttls", "auth"]);
    let own = place.settings(server.port, MailSecurity::StartTls);
    let mail = Mail::new(with_password(own.clone(), "open sesame\n")).unwrap();
    mail.send(&notice("web", "team")).unwrap();
    let taken = server.mail();
    assert_eq!(
        (&taken["is_encrypted"], &taken["is_known"]),
        (&true.into(), &true.into())
    );

    let wrong = Mail::new(with_password(own.clone(), "let me in")).unwrap();
    let error = wrong.send(&notice("web", "team")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let text = error.to_string();
    assert!(
        text.starts_with("sending a notice to \"team\" (localhost): "),
        "{text}"
    );
    assert!(
        text.contains("535") && !text.contains("let me in"),
        "{text}"
    );

    // Nobody vouches for the server's certificate.
    let stranger = MailSettings {
        certificates: Vec::new(),
        ..own
    };
    let error = Mail::new(stranger)
        .unwrap()
        .send(&notice("web", "team"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[test]
fn mail_goes_encrypted_from_the_first_byte_and_refused_receivers_are_said() {
    let Some(place) = Place::new() else {
        return;
    };
    let server = place.serve(&["tls"]);
    let own = place.settings(server.port, MailSecurity::Tls);
    Mail::new(own.clone())
        .unwrap()
        .send(&notice("web", "team"))
        .unwrap();
    assert_eq!(server.mail()["is_encrypted"], true);
    let nobody = MailSettings {
        to: vec!["nobody@example.org".to_owned()],
        ..own
    };
    let error = Mail::new(nobody)
        .unwrap()
        .send(&notice("web", "team"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("550"), "{error}");
}

#[test]
fn a_server_without_starttls_gets_nothing_and_a_silent_one_is_left() {
    let Some(place) = Place::new() else {
        return;
    };
    let server = place.serve(&[]);
    let own = place.settings(server.port, MailSecurity::StartTls);
    let error = Mail::new(own)
        .unwrap()
        .send(&notice("web", "team"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = thread::spawn(move || listener.accept());
    let impatient = MailSettings {
        limit: SHORT,
        ..settings(port)
    };
    let error = Mail::new(impatient)
        .unwrap()
        .send(&notice("web", "team"))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(silent.join().unwrap().is_ok());
}

#[test]
fn settings_that_cannot_work_or_would_tell_the_password_are_refused() {
    let refused = |settings: MailSettings| match Mail::new(settings) {
        Ok(_) => panic!("it should be refused"),
        Err(error) => error.to_string(),
    };
    let open = MailSettings {
        host: "mail.example.org".to_owned(),
        user: Some("ada".to_owned()),
        password: Some(Secret::new(b"open sesame".to_vec())),
        ..settings(25)
    };
    let text = refused(open);
    assert!(
        text.contains("in the clear") && !text.contains("sesame"),
        "{text}"
    );
    let nobody = MailSettings {
        to: vec!["ada@example.org\r\nBcc: evil@example.org".to_owned()],
        ..settings(25)
    };
    assert!(refused(nobody).contains("is no address of mail"));
    let broken = MailSettings {
        security: MailSecurity::Tls,
        certificates: b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n".to_vec(),
        ..settings(25)
    };
    assert!(refused(broken).contains("certificates are no PEM"));
}
