//! Whoever may restore looks into points and takes files out; names from inside stay names, each
//! file that leaves is written down, and commands that fail or lose their reader end.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_api::Role;
use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_server::Commands;
use serde_json::Value;

use crate::stage::{Stage, Wishes, root};

/// The program's place is taken by a script.
pub(crate) struct Played;

impl Commands for Played {
    fn run(
        &self,
        words: &[OsString],
        cancel: &CancelToken,
        take: &mut (dyn FnMut(Vec<u8>) -> bool + Send),
    ) -> Result<(), (ErrorKind, String)> {
        let mut command = Command::new("sh");
        command
            .arg(root("crates/server/tests/child.sh"))
            .args(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = stdout.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            if cancel.is_cancelled() || !take(buffer[..count].to_vec()) {
                child.kill().unwrap();
                break;
            }
        }
        let ended = child.wait_with_output().unwrap();
        let kind = match ended.status.code() {
            Some(0) => return Ok(()),
            Some(10) => ErrorKind::NotFound,
            Some(26) => ErrorKind::Unsupported,
            _ => return Err((ErrorKind::Cancelled, "it was killed".to_owned())),
        };
        let said = String::from_utf8(ended.stderr).unwrap();
        let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        Err((kind, last["message"].as_str().unwrap().to_owned()))
    }

    fn folder(&self) -> PathBuf {
        unreachable!("nothing is sent")
    }
}

fn stage() -> (Stage, String, String) {
    let stage = Stage::with(Wishes {
        commands: Some(Arc::new(Played)),
        ..Wishes::default()
    });
    let points = stage.catalog.points(Some("web01"), 1).unwrap();
    let path = format!("/api/v1/points/{}", points[0].key.snapshot);
    let token = stage.token(Role::Restore, &[]);
    (stage, path, token)
}

#[test]
fn volumes_folders_and_odd_names_are_listed() {
    let (stage, point, token) = stage();
    let get = |rest: &str| stage.as_token(&token, &format!("GET {point}/{rest}"), "");
    let top = get("files").json();
    assert_eq!(top["stored"][0]["path"], "/disks/vda.raw");
    assert_eq!(top["volumes"][1]["mounted_at"], "/");
    let folder = get("files?path=%2F").json();
    let names: Vec<_> = folder["entries"].as_array().unwrap().iter().collect();
    assert_eq!(names[0]["name"], "etc", "folders come first");
    assert_eq!(names[1]["link_target"], "usr/bin");
    let odd = &get("files?path=/etc").json()["entries"][2];
    assert_eq!(odd["path"], "%2Fetc%2Ff%FF");
    let many = get("files?path=/many&skip=99990&count=100").json();
    assert_eq!(many["count"], 100_000);
    assert_eq!(many["entries"].as_array().unwrap().len(), 10);
    assert_eq!(many["entries"][9]["name"], "f099999");
    for (query, status) in [
        ("files?path=etc", 400),
        ("files?path=/&count=0", 400),
        ("files?path=/refused", 422),
        ("file", 400),
        ("file?path=/a&stored=/b", 400),
    ] {
        assert_eq!(get(query).status, status, "{query}");
    }
    let refused = get("files?path=/refused").json();
    assert_eq!(
        refused["message"],
        "booting <b>the rescue VM</b>: no kernel"
    );
    let strange = stage.as_token(&token, "GET /api/v1/points/0123/files", "");
    assert_eq!(strange.status, 404);
}

#[test]
fn files_leave_under_harmless_names_and_are_written_down() {
    let (stage, point, token) = stage();
    let get = |rest: &str| stage.as_token(&token, &format!("GET {point}/{rest}"), "");
    let hosts = get("file?path=/etc/hosts");
    assert!(hosts.body.ends_with(":/etc/hosts"), "{hosts:?}");
    assert_eq!(hosts.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(
        hosts.header("content-type"),
        Some("application/octet-stream")
    );
    let odd = get("file?path=/srv/a%0D%0ASet-Cookie:%20x%3B%22%E2%80%AE%2e%2ehtml");
    let said = odd.header("content-disposition").unwrap();
    assert!(
        !said.contains("\u{202e}") && odd.header("set-cookie").is_none(),
        "{odd:?}"
    );
    assert!(
        said.starts_with("attachment; filename=\"") && said.contains("_..html\""),
        "{said}"
    );
    assert!(get("file?path=/etc/f%FF").body.ends_with("/etc/f\u{fffd}"));
    assert_eq!(get("file?stored=/lifeboat.json").body, "{\"format\":1}");
    assert_eq!(get("file?path=/refused").status, 404);
    let viewer = stage.token(Role::Viewer, &[]);
    let head = format!("GET {point}/file?path=/etc/shadow");
    assert_eq!(stage.as_token(&viewer, &head, "").status, 403);
    let written = stage.catalog.audit_entries(None, 20).unwrap();
    let read: Vec<_> = written
        .iter()
        .filter(|it| it.action == "file read")
        .collect();
    let is_done: Vec<bool> = read.iter().map(|it| it.is_done).collect();
    assert_eq!(is_done, [false, false, true, true, true, true], "{read:?}");
    assert!(read[5].details.contains("web01 /etc/hosts"), "{read:?}");
    assert!(read[1].details.contains("/refused"), "{read:?}");
}

#[test]
fn a_disk_is_too_long_for_a_browser() {
    let (stage, point, token) = stage();
    let get = |rest: &str| stage.as_token(&token, &format!("GET {point}/{rest}"), "");
    assert_eq!(get("files").status, 200);
    let disk = get("file?stored=/disks/vda.raw");
    assert_eq!(disk.status, 422);
    assert!(
        disk.json()["hint"]
            .as_str()
            .unwrap()
            .contains("lifeboat dump")
    );
}

#[test]
fn readers_who_leave_make_room_for_others() {
    let (stage, point, token) = stage();
    let head = format!(
        "GET {point}/file?path=/endless HTTP/1.1\r\nHost: x\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    for _ in 0..12 {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut stream = TcpStream::connect(stage.address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut begin = [0; 12];
            stream.read_exact(&mut begin).unwrap();
            match &begin {
                b"HTTP/1.1 200" => break,
                b"HTTP/1.1 503" => {
                    assert!(Instant::now() < deadline, "those who left are still served");
                }
                other => panic!("{}", String::from_utf8_lossy(other)),
            }
        }
    }
}
