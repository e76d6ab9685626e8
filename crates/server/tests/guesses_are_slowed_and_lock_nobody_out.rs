//! Ten thousand guesses leave the server up, and whoever knows the password comes in.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use lifeboat_config::LoginLimits;

use crate::stage::{LOGIN, PASSWORD, Reply, Stage, Wishes, ask};

/// Asks from another address of this machine.
fn from(stage: &Stage, last: u8, body: &str) -> Reply {
    let kind = Some(socket2::Protocol::TCP);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, kind).unwrap();
    let local = SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0));
    socket.bind(&local.into()).unwrap();
    socket.connect(&stage.address.into()).unwrap();
    ask(TcpStream::from(socket), "POST /api/v1/sessions", &[], body)
}

fn body(name: &str, password: &str) -> String {
    format!(r#"{{"name":"{name}","password":"{password}"}}"#)
}

#[test]
fn ten_thousand_guesses_are_mostly_not_looked_at() {
    let stage = Stage::new();
    stage.add_anna();
    let guesses = 10_000;
    let work = |thread: usize| {
        let stage = &stage;
        move || {
            let statuses = (0..guesses / 4).map(|number| {
                let name = if number % 2 == 0 { "anna" } else { "nobody" };
                let guess = body(name, &format!("guess {thread} {number}"));
                stage.ask("POST /api/v1/sessions", &[], &guess).status
            });
            let statuses: Vec<_> = statuses.collect();
            assert!(statuses.iter().all(|status| [401, 429].contains(status)));
            statuses.into_iter().filter(|&status| status == 401).count()
        }
    };
    let looked_at: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(work(thread))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert!(looked_at < 500, "{looked_at} of {guesses}");
    assert_eq!(stage.ask("GET /api/v1/health", &[], "").status, 200);
    let here = stage.ask("POST /api/v1/sessions", &[], &body("anna", PASSWORD));
    assert_eq!(here.status, 429);
    let pause: u64 = here.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=15 * 60 + 1).contains(&pause), "{pause}");
    assert_eq!(from(&stage, 2, &body("anna", PASSWORD)).status, 201);
    let entries = stage.catalog.audit_entries(None, 10_000).unwrap();
    assert!(entries.len() < 600, "{} entries", entries.len());
}

#[test]
fn guesses_from_many_addresses_do_not_lock_out_who_was_in_before() {
    let stage = Stage::new();
    stage.add_anna();
    assert_eq!(from(&stage, 200, &body("anna", PASSWORD)).status, 201);
    let mut statuses = Vec::new();
    for last in 2..13 {
        statuses.extend((0..10).map(|_| from(&stage, last, &body("anna", "guess")).status));
    }
    assert_eq!(
        statuses.iter().filter(|&&status| status == 401).count(),
        100
    );
    assert_eq!(from(&stage, 50, &body("anna", PASSWORD)).status, 429);
    assert_eq!(from(&stage, 200, &body("anna", PASSWORD)).status, 201);
}

#[test]
fn unknown_users_and_wrong_passwords_look_the_same() {
    let stage = Stage::new();
    stage.add_anna();
    let wrong = stage.ask("POST /api/v1/sessions", &[], &body("anna", "guess"));
    let unknown = stage.ask("POST /api/v1/sessions", &[], &body("nobody", "guess"));
    assert_eq!((wrong.status, &wrong.body), (unknown.status, &unknown.body));
    let digest = stage.catalog.user("anna").unwrap().unwrap().password_digest;
    assert!(
        digest.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{digest}"
    );
}

#[test]
fn the_configured_limits_count_and_change_with_the_configuration() {
    let login = |attempts, session| LoginLimits {
        attempts,
        session: Duration::from_secs(session),
        ..LOGIN
    };
    let stage = Stage::with(Wishes {
        login: Some(login(3, 90)),
        ..Wishes::default()
    });
    stage.add_anna();
    let (right, wrong) = (body("anna", PASSWORD), body("anna", "guess"));
    // Those who come in do not count.
    for _ in 0..5 {
        let reply = from(&stage, 7, &right);
        assert_eq!(reply.status, 201);
        assert!(reply.header("set-cookie").unwrap().contains("Max-Age=90;"));
    }
    let statuses: Vec<_> = (0..5).map(|_| from(&stage, 7, &wrong).status).collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    assert_eq!(from(&stage, 7, &right).status, 429);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for _ in 0..3 {
        let reply = stage.ask("POST /login", &form, "name=anna&password=guess");
        assert_eq!(
            (reply.status, reply.header("location")),
            (303, Some("/login?failed=1"))
        );
    }
    let reply = stage.ask("POST /login", &form, "name=anna&password=guess");
    let place = reply.header("location").unwrap();
    let wait: u64 = place.strip_prefix("/login?wait=").unwrap().parse().unwrap();
    assert!((1..=15 * 60 + 1).contains(&wait));
    let page = stage.ask(&format!("GET {place}"), &[], "").body;
    assert!(
        page.contains("Too many attempts") && page.contains("minutes"),
        "{page}"
    );

    stage.state.set_login(login(9, 3600));
    let reply = from(&stage, 8, &right);
    assert!(
        reply
            .header("set-cookie")
            .unwrap()
            .contains("Max-Age=3600;")
    );
    let statuses: Vec<_> = (0..10).map(|_| from(&stage, 8, &wrong).status).collect();
    assert_eq!(statuses.iter().filter(|&&status| status == 401).count(), 9);
    assert_eq!(statuses[9], 429);
}
