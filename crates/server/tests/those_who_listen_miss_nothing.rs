//! Events come as they happen, and after a break from where it was.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use lifeboat_api::Role;
use lifeboat_catalog::RunId;
use serde_json::Value;

use crate::stage::Stage;

/// Listens from after an event on; gives the next so many.
fn listen(stage: &Stage, token: &str, after: Option<i64>, count: usize) -> Vec<Value> {
    let mut stream = TcpStream::connect(stage.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let after = after
        .map(|number| format!("Last-Event-ID: {number}\r\n"))
        .unwrap_or_default();
    let head =
        format!("GET /api/v1/events HTTP/1.0\r\nAuthorization: Bearer {token}\r\n{after}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let data = lines.filter_map(|line| line.strip_prefix("data: ").map(str::to_owned));
    data.take(count)
        .map(|text| serde_json::from_str(&text).unwrap())
        .collect()
}

#[test]
fn listening_goes_on_after_the_last_event_that_was_seen() {
    let stage = Stage::new();
    let token = stage.token(Role::Viewer, &[]);
    let newest = stage.catalog.newest_event().unwrap();
    let first = listen(&stage, &token, Some(0), 4);
    let numbers: Vec<_> = first
        .iter()
        .map(|event| event["number"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let rest = listen(&stage, &token, Some(4), newest as usize - 4);
    assert_eq!(rest[0]["number"], 5);
    assert_eq!(rest.last().unwrap()["number"], newest);
}

#[test]
fn what_happens_meanwhile_is_told() {
    let stage = Stage::new();
    let token = stage.token(Role::Viewer, &[]);
    let newest = stage.catalog.newest_event().unwrap();
    let told = std::thread::scope(|scope| {
        let listener = scope.spawn(|| listen(&stage, &token, Some(newest), 1));
        stage.catalog.cancel_run(RunId(2), "test").unwrap();
        listener.join().unwrap()
    });
    assert_eq!(told[0]["number"], newest + 1);
    assert_eq!(told[0]["kind"], "task");
}

#[test]
fn more_listeners_than_places_are_told_so() {
    let stage = Stage::new();
    let token = stage.token(Role::Viewer, &[]);
    let head = format!("GET /api/v1/events HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n");
    let held: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = TcpStream::connect(stage.address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            assert!(lines.next().unwrap().unwrap().contains("200"));
            stream
        })
        .collect();
    let reply = stage.as_token(&token, "GET /api/v1/events", "");
    assert_eq!(
        (reply.status, reply.json()["kind"].as_str()),
        (503, Some("unavailable"))
    );
    drop(held);
}
