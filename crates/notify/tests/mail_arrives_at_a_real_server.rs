//! Mail through a real server: in the clear, with STARTTLS, with TLS, with a password.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;

use lifeboat_model::{ErrorKind, Secret};
use lifeboat_notify::{Mail, MailSecurity, MailSettings, Transport};
use lifeboat_testkit::MailServer;
use serde_json::Value;

use crate::doors::{LONG, SHORT, notice};

/// Settings by which the server's certificate is trusted.
fn trusting(server: &MailServer, security: MailSecurity) -> MailSettings {
    MailSettings {
        security,
        certificates: fs::read(server.certificate()).unwrap(),
        ..settings(server.port)
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
    let Some(server) = MailServer::start(&[]) else {
        return;
    };
    let mail = Mail::new(settings(server.port)).unwrap();
    // The letter before bus turns the direction of writing around.
    let machine = "web\r\nBcc: evil@example.org\r\n\r\n<b>büro</b>\u{202e}bus";
    mail.send(&notice(machine, "team")).unwrap();
    let taken = server.mail();
    assert_eq!(taken["from"], "backup@example.org");
    assert_eq!(
        taken["to"],
        serde_json::json!(["ada@example.org", "bob@example.org"])
    );
    assert_eq!(taken["type"], "multipart/alternative");
    let subject = "[lifeboat berlin] CRITICAL: web  Bcc: evil@example.org    <b>büro</b> bus: no \
                   backup for 26 h";
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
    let helps = "  | error: the disk is gone\n\n  What to do:\n    back it up now  \
                 lifeboat run nightly\n\n  https://lifeboat.example/machines/1\n";
    assert!(plain.contains(helps), "{plain}");
    assert!(plain.ends_with("\nhttps://lifeboat.example\n"), "{plain}");
    let html = taken["html"].as_str().unwrap();
    assert!(
        html.contains("&lt;b&gt;büro&lt;/b&gt; bus") && !html.contains("<b>"),
        "{html}"
    );
    assert!(html.contains(">lifeboat run nightly</code>"), "{html}");
    // A second attempt is the same mail: servers and readers know it by its id.
    mail.send(&notice(machine, "team")).unwrap();
    assert_eq!(header(&server.mail(), "Message-ID"), [id]);
}

#[test]
fn mail_goes_encrypted_and_with_a_password() {
    let with_password = |settings: MailSettings, password: &str| MailSettings {
        user: Some("ada".to_owned()),
        password: Some(Secret::new(password.as_bytes().to_vec())),
        ..settings
    };
    let Some(server) = MailServer::start(&["starttls", "auth"]) else {
        return;
    };
    let own = trusting(&server, MailSecurity::StartTls);
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
    let Some(server) = MailServer::start(&["tls"]) else {
        return;
    };
    let own = trusting(&server, MailSecurity::Tls);
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
    let Some(server) = MailServer::start(&[]) else {
        return;
    };
    let own = trusting(&server, MailSecurity::StartTls);
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

/// Wherever the server ends the conversation, sending ends with an error that names the target.
#[test]
fn a_server_that_breaks_off_anywhere_is_an_error() {
    let script = [
        "220 hello\r\n",
        "250-here\r\n250 8BITMIME\r\n",
        "250 sender\r\n",
        "250 receiver\r\n",
        "250 receiver\r\n",
        "354 go on\r\n",
        "no code at all\r\n",
    ];
    for count in 0..=script.len() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for reply in &script[..count] {
                stream.write_all(reply.as_bytes()).unwrap();
                // One read is one command, or the beginning of the mail.
                if stream.read(&mut [0; 4096]).unwrap() == 0 {
                    return;
                }
            }
            let _ = stream.shutdown(Shutdown::Both);
        });
        let error = Mail::new(settings(port))
            .unwrap()
            .send(&notice("web", "team"));
        let text = error.unwrap_err().to_string();
        let head = "sending a notice to \"team\" (localhost): ";
        assert!(text.starts_with(head), "after {count} replies: {text}");
        server.join().unwrap();
    }
}
