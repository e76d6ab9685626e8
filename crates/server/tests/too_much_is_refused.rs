//! Slow, many and large: the server keeps answering.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lifeboat_api::Role;
use lifeboat_server::Limits;

use crate::stage::{Stage, Wishes, point, read};

#[test]
fn large_bodies_are_refused_by_length_and_by_size() {
    let stage = Stage::new();
    let token = stage.token(Role::Admin, &[]);
    let large = format!(r#"{{"action":"{}"}}"#, "x".repeat(1024 * 1024));
    let reply = stage.as_token(&token, "POST /api/v1/runs", &large);
    assert_eq!(reply.status, 413);
    assert_eq!(reply.json()["kind"], "too_large");
    let mut stream = TcpStream::connect(stage.address).unwrap();
    let head = format!(
        "POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let pieces = (0..32).take_while(|_| stream.write_all(piece.as_bytes()).is_ok());
    assert!(pieces.count() >= 16);
    // What was refused may arrive before the connection is reset.
    let status = read(stream).status;
    assert!([413, 0].contains(&status), "{status}");
    assert_eq!(stage.ask("GET /api/v1/health", &[], "").status, 200);
}

#[test]
fn what_is_no_request_of_ours_is_refused_in_one_shape() {
    let stage = Stage::new();
    let token = stage.token(Role::Admin, &[]);
    let asked = |head: &str, body: &str| stage.as_token(&token, head, body);
    for (head, body, status, kind) in [
        ("GET /api/v1/nothing", "", 404, "not_found"),
        ("PUT /api/v1/runs", "", 405, "wrong_method"),
        ("GET /api/v1/runs/0", "", 404, "not_found"),
        ("GET /api/v1/runs/x", "", 400, "invalid"),
        ("GET /api/v1/runs?count=0", "", 400, "invalid"),
        ("GET /api/v1/runs?wrong=1", "", 400, "invalid"),
        ("GET /api/v1/machines?after=x", "", 400, "invalid"),
        ("POST /api/v1/runs", "{", 400, "invalid"),
        (
            "POST /api/v1/runs",
            r#"{"action":"restore"}"#,
            400,
            "invalid",
        ),
        (
            "POST /api/v1/runs",
            r#"{"action":"check","repository":"no"}"#,
            404,
            "not_found",
        ),
    ] {
        let reply = asked(head, body);
        assert_eq!(
            (reply.status, reply.json()["kind"].as_str()),
            (status, Some(kind)),
            "{head}"
        );
        let told = reply.json()["message"].as_str().unwrap().to_owned();
        let inner = ["deserialize", "Failed", "i64"];
        assert!(!inner.iter().any(|it| told.contains(it)), "{head}: {told}");
    }
    let restore = r#"{"repository":"main","snapshot":"--all","platform":"local"}"#;
    assert_eq!(asked("POST /api/v1/restores", restore).status, 400);
    let restore = r#"{"repository":"main","snapshot":"abcd","platform":"local","name":"-x"}"#;
    assert_eq!(asked("POST /api/v1/restores", restore).status, 400);
    let text = stage.ask(
        "POST /api/v1/sessions",
        &[("Content-Type", "text/plain")],
        "x",
    );
    assert_eq!(text.status, 415);
}

#[test]
fn answers_say_what_browsers_may_do_with_them() {
    let stage = Stage::new();
    let reply = stage.ask("GET /api/v1/health", &[], "");
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("strict-transport-security"), None);
}

#[test]
fn two_hundred_slow_clients_do_not_slow_the_others() {
    let limits = Limits {
        head: Duration::from_secs(2),
        ..Limits::default()
    };
    let stage = Stage::with(Wishes {
        limits,
        ..Wishes::default()
    });
    let mut slow: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(stage.address).unwrap())
        .collect();
    let text = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX: xxxxxxxxxxxxxxxxxxxx";
    let mut sent = 0;
    let mut open = slow.len();
    while open > 0 && sent < text.len() {
        let write = |stream: &mut TcpStream| stream.write_all(&text[sent..=sent]).is_ok();
        open = slow
            .iter_mut()
            .map(write)
            .filter(|is_open| *is_open)
            .count();
        assert_eq!(stage.ask("GET /api/v1/health", &[], "").status, 200);
        sent += 1;
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(
        open, 0,
        "the slow ones were not sent away after {sent} bytes"
    );
}

#[test]
fn one_address_does_not_take_all_places() {
    let limits = Limits {
        per_address: 8,
        ..Limits::default()
    };
    let stage = Stage::with(Wishes {
        limits,
        ..Wishes::default()
    });
    let held: Vec<_> = (0..8)
        .map(|_| TcpStream::connect(stage.address).unwrap())
        .collect();
    let beyond = std::iter::repeat_with(|| stage.ask("GET /api/v1/health", &[], "").status);
    assert!(beyond.take(1_000).any(|status| status == 0));
    drop(held);
    let mut after = std::iter::repeat_with(|| stage.ask("GET /api/v1/health", &[], "").status);
    assert!(after.by_ref().take(1_000).any(|status| status == 200));
}

#[test]
fn a_thousand_clients_at_once_are_all_answered() {
    let limits = Limits {
        per_address: 1_500,
        ..Limits::default()
    };
    let stage = Stage::with(Wishes {
        limits,
        ..Wishes::default()
    });
    let token = stage.token(Role::Viewer, &[]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..1_000)
            .map(|number| {
                let paths = ["overview", "machines", "runs", "points", "alerts"];
                let head = format!("GET /api/v1/{}", paths[number % paths.len()]);
                let (stage, token) = (&stage, &token);
                let client = std::thread::Builder::new().stack_size(128 * 1024);
                let ask = move || stage.as_token(token, &head, "").status;
                client.spawn_scoped(scope, ask).unwrap()
            })
            .collect();
        let watch = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                assert_eq!(stage.ask("GET /api/v1/health", &[], "").status, 200);
            }
        });
        for client in clients {
            assert_eq!(client.join().unwrap(), 200);
        }
        is_over.store(true, Ordering::SeqCst);
        watch.join().unwrap();
    });
}

#[test]
fn ten_thousand_points_are_shown() {
    let stage = Stage::new();
    let token = stage.token(Role::Viewer, &[]);
    let now = Timestamp::now();
    let at = |minutes| now - SignedDuration::from_mins(minutes);
    let points: Vec<_> = (0..10_000)
        .map(|minutes| point("web01", at(minutes)))
        .collect();
    stage.catalog.set_points("main", &points).unwrap();
    let machines = stage.as_token(&token, "GET /api/v1/machines", "").json();
    let counts = machines
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["points"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), 10_000);
    assert_eq!(
        stage.as_token(&token, "GET /api/v1/overview", "").status,
        200
    );
    let all = stage
        .as_token(&token, "GET /api/v1/points?count=10000", "")
        .json();
    assert_eq!(all.as_array().unwrap().len(), 10_000);
    let admin = stage.token(Role::Admin, &[]);
    let lines = stage.as_token(&admin, "GET /api/v1/catalog", "").body;
    let count = |kind: &str| lines.lines().filter(|line| line.contains(kind)).count();
    assert_eq!(count("\"kind\":\"point\""), 10_000);
    assert_eq!(lines.lines().last(), Some(r#"{"kind":"end","row":null}"#));
}

#[test]
fn simulations_are_bounded_and_few_at_a_time_and_end_with_those_who_asked() {
    let stage = Stage::new();
    let token = stage.token(Role::Viewer, &[]);
    let asked = |query: &str| {
        let head = format!("GET /api/v1/jobs/web/simulate?{query}");
        stage.as_token(&token, &head, "")
    };
    let own = asked("days=20").json();
    assert_eq!(left(&own), 9, "{own}");
    let tried = asked("days=20&daily=3&within=36h").json();
    assert_eq!(left(&tried), 3, "{tried}");
    assert_eq!(asked("days=20&last=0").status, 400);

    let head = format!(
        "GET /api/v1/jobs/web/simulate?days=3660&last=1200 HTTP/1.1\r\nHost: localhost\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    let hold = || {
        let mut stream = TcpStream::connect(stage.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let beyond = std::iter::repeat_with(|| {
        let _held = [hold(), hold()];
        let mut replies = std::iter::repeat_with(|| asked("days=1")).take(50);
        replies.find(|reply| reply.status != 200)
    });
    let beyond = beyond.flatten().next().unwrap();
    assert_eq!(
        (beyond.status, beyond.header("retry-after")),
        (503, Some("5"))
    );
    assert_eq!(beyond.json()["kind"], "unavailable");
    let after = std::iter::repeat_with(|| asked("days=1")).find(|reply| reply.status == 200);
    assert!(after.is_some());
}

/// Simulated points that are there at the end.
fn left(points: &serde_json::Value) -> usize {
    let points = points.as_array().unwrap().iter();
    points.filter(|point| point["removed"].is_null()).count()
}
