//! Web hooks and pings, to servers that answer, refuse, say nothing or break off.

use std::process::Command;
use std::time::Duration;

use lifeboat_model::{ErrorKind, Secret};
use lifeboat_notify::{
    Content, Digest, Method, Notice, Outcome, Ping, PingFailure, PingSettings, Run, Transport,
    WebHook, WebHookSettings,
};
use lifeboat_testkit::{Manner, WebServer, free_port, header, tool};
use serde_json::Value;

use crate::doors::{LONG, SHORT, notice};
use crate::world::{later, start};

const TOKEN: &str = "s3cret-token";

fn hook(port: u16, limit: Duration) -> WebHookSettings {
    let url = format!("http://127.0.0.1:{port}/hooks/{TOKEN}?key={TOKEN}");
    WebHookSettings {
        name: "chat".to_owned(),
        url: Secret::new(url.into_bytes()),
        headers: vec![(
            "Authorization".to_owned(),
            Secret::new(b"Bearer s3cret-token\n".to_vec()),
        )],
        signing_key: Some(Secret::new(b"key".to_vec())),
        certificates: Vec::new(),
        limit,
    }
}

fn settings_of_ping(port: u16, method: Method, limit: Duration) -> PingSettings {
    let url = format!("http://127.0.0.1:{port}/{TOKEN}");
    PingSettings {
        name: "switch".to_owned(),
        url: Secret::new(url.into_bytes()),
        method,
        failure: PingFailure::Word,
        certificates: Vec::new(),
        limit,
    }
}

fn ping(port: u16, method: Method, limit: Duration) -> Ping {
    Ping::new(settings_of_ping(port, method, limit)).unwrap()
}

fn of_run(outcome: Option<Outcome>) -> Notice {
    let run = Run {
        id: "2f1c6a0e-9d3b-4c55-8a77-0123456789ab".to_owned(),
        job: "web".to_owned(),
        name: "job web".to_owned(),
        site: None,
        outcome,
        began: start(),
        ended: outcome.map(|_| later(start(), 60)),
        exit_code: outcome.map(|it| if it == Outcome::Failure { 3 } else { 0 }),
        failed: Vec::new(),
        text: "2 of 3 machines".to_owned(),
        remedies: Vec::new(),
        link: None,
    };
    Notice {
        content: match outcome {
            None => Content::RunBegan(run),
            Some(_) => Content::RunEnded(run),
        },
        ..notice("web", "switch")
    }
}

#[test]
fn a_web_hook_gets_the_notice_signed_with_its_headers() {
    let server = WebServer::start(Manner::Answers("204 No Content"));
    let hook = WebHook::new(hook(server.port, LONG)).unwrap();
    let sent = notice("web", "chat");
    hook.send(&sent).unwrap();
    let (head, body) = server.request();
    let line = format!("POST /hooks/{TOKEN}?key={TOKEN} HTTP/1.1");
    assert_eq!(head.lines().next(), Some(line.as_str()));
    assert_eq!(header(&head, "Authorization"), Some("Bearer s3cret-token"));
    assert_eq!(header(&head, "Content-Type"), Some("application/json"));
    assert_eq!(header(&head, "Idempotency-Key"), Some(sent.id.as_str()));
    let posted: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(posted["version"], 1);
    assert_eq!(posted["title"], sent.title());
    assert_eq!(posted["text"], sent.plain());
    assert_eq!(serde_json::from_value::<Notice>(posted).unwrap(), sent);
    // Another program computes the signature.
    let Some(openssl) = tool("openssl") else {
        return;
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &body).unwrap();
    let output = Command::new(openssl)
        .args(["dgst", "-sha256", "-hmac", "key"])
        .arg(file.path())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let digest = printed.trim().rsplit(' ').next().unwrap();
    let expected = format!("sha256={digest}");
    assert_eq!(
        header(&head, "X-Lifeboat-Signature"),
        Some(expected.as_str())
    );
}

#[test]
fn every_fault_of_the_web_has_its_kind_and_no_secret_is_told() {
    let manners = [
        (
            Manner::Answers("401 Unauthorized"),
            ErrorKind::Denied,
            "it answered 401",
        ),
        (
            Manner::Answers("404 Not Found"),
            ErrorKind::NotFound,
            "it answered 404",
        ),
        (
            Manner::Answers("429 Too Many Requests"),
            ErrorKind::Busy,
            "it answered 429",
        ),
        (
            Manner::Answers("503 Busy"),
            ErrorKind::Unreachable,
            "it answered 503",
        ),
        (
            Manner::Answers("302 Found\r\nLocation: http://127.0.0.1:1/"),
            ErrorKind::Invalid,
            "redirects are not followed",
        ),
        (
            Manner::IsSilent,
            ErrorKind::Unreachable,
            "no answer within 0.3 s",
        ),
    ];
    let told = |text: String, seen: &str| {
        assert!(
            text.contains("(127.0.0.1): ") && text.contains(seen),
            "{text}"
        );
        assert!(!text.contains(TOKEN) && !text.contains("http"), "{text}");
    };
    for (manner, kind, seen) in manners {
        let server = WebServer::start(manner);
        let hook = WebHook::new(hook(server.port, SHORT)).unwrap();
        let error = hook.send(&notice("web", "chat")).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        told(error.to_string(), seen);
        let ping = ping(server.port, Method::Post, SHORT);
        let error = ping.send(&notice("web", "switch")).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        told(error.to_string(), seen);
    }
    let server = WebServer::start(Manner::BreaksOff);
    let broken = WebHook::new(hook(server.port, LONG)).unwrap();
    told(
        broken.send(&notice("web", "chat")).unwrap_err().to_string(),
        "",
    );
    let gone = WebHook::new(hook(free_port(), LONG)).unwrap();
    let error = gone.send(&notice("web", "chat")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    told(error.to_string(), "refused");
}

#[test]
fn pings_follow_a_run() {
    let server = WebServer::start(Manner::Answers("200 OK"));
    let rid = "?rid=2f1c6a0e-9d3b-4c55-8a77-0123456789ab";
    let check = |method, sent: &Notice, expected: &str, has_body: bool| {
        ping(server.port, method, LONG).send(sent).unwrap();
        let (head, body) = server.request();
        assert_eq!(
            head.lines().next(),
            Some(format!("{expected} HTTP/1.1").as_str())
        );
        assert_eq!(!body.is_empty(), has_body);
        String::from_utf8(body).unwrap()
    };
    check(
        Method::Post,
        &of_run(None),
        &format!("POST /{TOKEN}/start{rid}"),
        true,
    );
    let well = of_run(Some(Outcome::Success));
    let body = check(Method::Post, &well, &format!("POST /{TOKEN}{rid}"), true);
    assert!(body.contains("2 of 3 machines"), "{body}");
    let badly = of_run(Some(Outcome::Failure));
    check(
        Method::Get,
        &badly,
        &format!("GET /{TOKEN}/fail{rid}"),
        false,
    );
    let holds = notice("web", "switch");
    check(Method::Get, &holds, &format!("GET /{TOKEN}/fail"), false);
    let mut over = holds;
    if let Content::Conditions { items, .. } = &mut over.content {
        items[0].condition.cleared = Some(over.at);
    }
    check(Method::Get, &over, &format!("GET /{TOKEN}"), false);
    let test = Notice::test("lifeboat", "switch", start());
    check(Method::Post, &test, &format!("POST /{TOKEN}/log"), true);
}

#[test]
fn settings_that_cannot_work_are_refused_without_the_address() {
    let refused = |settings: WebHookSettings| match WebHook::new(settings) {
        Ok(_) => panic!("it should be refused"),
        Err(error) => error.to_string(),
    };
    let other = WebHookSettings {
        url: Secret::new(format!("ftp://example.org/{TOKEN}").into_bytes()),
        ..hook(1, LONG)
    };
    let text = refused(other);
    assert!(
        text.contains("not one of http or https") && !text.contains(TOKEN),
        "{text}"
    );
    let header = (
        "X-Key".to_owned(),
        Secret::new(format!("{TOKEN}\r\nX: y").into_bytes()),
    );
    let injected = WebHookSettings {
        headers: vec![header],
        ..hook(1, LONG)
    };
    let text = refused(injected);
    assert!(
        text.contains("\"X-Key\" is no usable header") && !text.contains(TOKEN),
        "{text}"
    );
    assert!(!format!("{:?}", hook(1, LONG)).contains(TOKEN));
}

#[test]
fn pings_say_failures_as_their_service_knows_them() {
    let server = WebServer::start(Manner::Answers("200 OK"));
    let asked = |failure, sent: &Notice| {
        let settings = PingSettings {
            failure,
            ..settings_of_ping(server.port, Method::Head, LONG)
        };
        Ping::new(settings).unwrap().send(sent).unwrap();
        let (head, body) = server.request_at_hand()?;
        assert!(body.is_empty());
        let line = head.lines().next().unwrap_or_default();
        let path = line
            .strip_prefix("HEAD /s3cret-token")
            .and_then(|it| it.strip_suffix(" HTTP/1.1"));
        let path = path.unwrap_or_else(|| panic!("{line}"));
        Some(path.split('?').next().unwrap_or_default().to_owned())
    };
    let well = of_run(Some(Outcome::Success));
    let badly = of_run(Some(Outcome::Failure));
    let holds = notice("web", "switch");
    let test = Notice::test("lifeboat", "switch", start());
    let digest = Notice {
        content: Content::Digest(Digest::default()),
        ..test.clone()
    };
    let by = |failure| {
        let all = [&well, &badly, &of_run(None), &holds, &digest, &test];
        all.map(|sent| asked(failure, sent).unwrap_or_else(|| "nothing".to_owned()))
    };
    let expected = ["", "/fail", "/start", "/fail", "/log", "/log"];
    assert_eq!(by(PingFailure::Word), expected);
    let expected = ["", "/3", "/start", "/1", "/log", "/log"];
    assert_eq!(by(PingFailure::ExitCode), expected);
    let expected = ["", "nothing", "nothing", "nothing", "nothing", ""];
    assert_eq!(by(PingFailure::Silence), expected);
}

/// What comes back is not kept, and other hosts are not asked.
#[test]
fn receivers_that_flood_or_send_elsewhere_harm_nobody() {
    /// Far more than the kernel keeps for both sides.
    const LITTLE: u64 = 64 << 20;
    let flooding = WebServer::start(Manner::Floods);
    let taken = WebHook::new(hook(flooding.port, LONG)).unwrap();
    taken.send(&notice("web", "chat")).unwrap();
    assert!(flooding.flood() < LITTLE);

    let endless = WebServer::start(Manner::NeverEnds);
    let refused = WebHook::new(hook(endless.port, LONG)).unwrap();
    let error = refused.send(&notice("web", "chat")).unwrap_err();
    assert!(!error.to_string().contains(TOKEN), "{error}");
    assert!(endless.flood() < LITTLE);

    let elsewhere = WebServer::start(Manner::Answers("200 OK"));
    let head = format!(
        "307 Elsewhere\r\nLocation: http://127.0.0.1:{}/",
        elsewhere.port
    );
    let sending = WebServer::start(Manner::Answers(Box::leak(head.into_boxed_str())));
    let refused = WebHook::new(hook(sending.port, LONG)).unwrap();
    refused.send(&notice("web", "chat")).unwrap_err();
    assert_eq!(elsewhere.request_at_hand(), None);
}
