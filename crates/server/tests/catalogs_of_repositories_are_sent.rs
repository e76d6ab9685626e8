//! Catalogs of repositories are exported, planned, brought back and compared over the API, and
//! what is too large, broken off or something else does nothing and leaves nothing.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use lifeboat_api::Role;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::stage::{Reply, Stage, read};

const CATALOG: &str = r#"{"version":1,"snapshots":[]}"#;
const ROUTE: &str = "/api/v1/repositories/main/catalog";

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lines(reply: &Reply) -> Vec<Value> {
    let lines = reply.body.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Names of files that were sent and are there still.
fn left(stage: &Stage) -> usize {
    let files = std::fs::read_dir(stage.folder.path()).unwrap().flatten();
    files.filter(|file| file.file_name().len() == 64).count()
}

#[test]
fn a_catalog_is_planned_before_it_is_brought_back() {
    let stage = Stage::new();
    let admin = stage.token(Role::Admin, &[]);
    let ask = |head: String, body: &str| stage.as_token(&admin, &head, body);
    let exported = ask(format!("GET {ROUTE}"), "");
    assert_eq!(exported.status, 200, "{exported:?}");
    let words = &lines(&exported)[0]["words"];
    let words = words.as_array().unwrap();
    assert_eq!(words[..3], ["catalog", "export", "--repo"].map(Value::from));
    let plan = ask(format!("POST {ROUTE}/plan"), CATALOG);
    assert_eq!(plan.header("content-type"), Some("application/jsonl"));
    let said = lines(&plan);
    assert_eq!(said[0]["digest"], digest(CATALOG));
    let words = said[1]["words"].as_array().unwrap();
    assert!(words.contains(&"--dry-run".into()) && words.contains(&"@main".into()));
    let other = digest("something else");
    let refused = ask(format!("POST {ROUTE}?plan={other}"), CATALOG);
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(ask(format!("POST {ROUTE}"), CATALOG).status, 400);
    let done = ask(format!("POST {ROUTE}?plan={}", digest(CATALOG)), CATALOG);
    let words = lines(&done)[1]["words"].as_array().unwrap().clone();
    assert!(words.contains(&"import".into()) && !words.contains(&"--dry-run".into()));
    // Lines that were said stay; the last one says why it went no further.
    let compared = lines(&ask(format!("POST {ROUTE}/verify"), CATALOG));
    assert_eq!(compared[2]["message_type"], "exit_error");
    assert_eq!(compared[2]["message"], "the place is gone");
    let entries = stage.catalog.audit_entries(None, 9).unwrap();
    let done: Vec<_> = entries
        .iter()
        .map(|it| (it.action.as_str(), it.is_done))
        .collect();
    let right = [
        ("repository catalog verify", true),
        ("repository catalog import", true),
        ("repository catalog import", false),
        ("repository catalog import", false),
        ("repository catalog plan", true),
    ];
    assert_eq!(done, right);
    assert!(entries[1].details.contains(&digest(CATALOG)));
    assert_eq!(left(&stage), 0);
}

#[test]
fn what_is_no_catalog_is_refused_and_leaves_nothing() {
    let stage = Stage::new();
    let admin = stage.token(Role::Admin, &[]);
    let route = format!("POST {ROUTE}/plan");
    let tampered = stage.as_token(&admin, &route, "{\"versian\":1}");
    assert_eq!(tampered.status, 400);
    let text = tampered.json()["message"].to_string();
    assert_eq!(text, "\"what was sent is no catalog\"");
    let missing = "POST /api/v1/repositories/none/catalog/plan";
    assert_eq!(stage.as_token(&admin, missing, CATALOG).status, 404);
    let large = format!("{CATALOG}{}", " ".repeat(70_000));
    assert_eq!(stage.as_token(&admin, &route, &large).status, 413);
    let head = format!("{route} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {admin}\r\n");
    let send = |head: &str, body: &[u8]| {
        let mut stream = TcpStream::connect(stage.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses early may close before all is written.
        let _ = stream.write_all(body);
        let _ = stream.shutdown(Shutdown::Write);
        read(stream)
    };
    let mut chunks = Vec::new();
    for _ in 0..20 {
        chunks.extend_from_slice(format!("1000\r\n{}\r\n", " ".repeat(0x1000)).as_bytes());
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    assert_eq!(send(&chunked, &chunks).status, 413);
    let broken = format!("{head}Content-Length: 5000\r\nConnection: close\r\n\r\n");
    let reply = send(&broken, CATALOG.as_bytes());
    assert!([0, 400].contains(&reply.status), "{reply:?}");
    let entries = stage.catalog.audit_entries(None, 9).unwrap();
    assert!(entries.iter().all(|entry| !entry.is_done));
    assert_eq!(left(&stage), 0);
}
