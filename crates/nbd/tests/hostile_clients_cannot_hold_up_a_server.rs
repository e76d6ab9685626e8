//! Clients that are slow, greedy, wrong or too many.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_model::ErrorKind;
use lifeboat_nbd::{Access, Client, ClientOptions, Durability, Listener, Replies, ServerOptions};

use crate::disks::{RawFile, dice, serve, sparse};
use crate::tools::{options, wait_until};

const SIZE: u64 = 8 << 20;

fn disk(folder: &Path) -> Arc<RawFile> {
    sparse(&folder.join("raw"), SIZE, &dice());
    Arc::new(RawFile::open(&folder.join("raw"), Access::Writable))
}

/// A connection that has shaken hands for "disk" with simple replies.
fn raw_client(socket: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.read_exact(&mut [0; 18]).unwrap();
    stream.write_all(&3u32.to_be_bytes()).unwrap();
    stream
        .write_all(b"IHAVEOPT\0\0\0\x01\0\0\0\x04disk")
        .unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    stream
}

fn request(flags: u16, command: u16, offset: u64, length: u32) -> Vec<u8> {
    let mut message = 0x2560_9513u32.to_be_bytes().to_vec();
    message.extend(flags.to_be_bytes());
    message.extend(command.to_be_bytes());
    message.extend(77u64.to_be_bytes());
    message.extend(offset.to_be_bytes());
    message.extend(length.to_be_bytes());
    message
}

/// The error number of the next simple reply.
fn reply(stream: &mut UnixStream) -> u32 {
    let mut head = [0; 16];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[..4], 0x6744_6698u32.to_be_bytes());
    assert_eq!(head[8..], 77u64.to_be_bytes());
    u32::from_be_bytes(head[4..8].try_into().unwrap())
}

fn is_hung_up(stream: &mut UnixStream) -> bool {
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn requests_that_are_wrong_are_refused_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let _server = serve(folder.path(), disk(folder.path()), ServerOptions::default());
    let mut stream = raw_client(&folder.path().join("ours.sock"));
    let cases = [
        (request(0, 0, SIZE, 1), 22),
        (request(0, 0, u64::MAX, 2), 22),
        (request(0, 0, 0, u32::MAX), 22),
        (request(1 << 9, 0, 0, 512), 22),
        (request(0, 9, 0, 512), 22),
        (request(0, 7, 0, 512), 22),
        (request(0, 4, SIZE - 1, 2), 28),
        (request(0, 6, 0, u32::MAX), 28),
        ([request(0, 1, SIZE - 1, 2), vec![1; 2]].concat(), 28),
        ([request(1 << 4, 1, 0, 2), vec![1; 2]].concat(), 22),
    ];
    for (message, expected) in cases {
        stream.write_all(&message).unwrap();
        assert_eq!(reply(&mut stream), expected, "{message:?}");
    }
    stream.write_all(&request(0, 0, 0, 512)).unwrap();
    assert_eq!(reply(&mut stream), 0);
    stream.read_exact(&mut [0; 512]).unwrap();
    stream.write_all(&request(0, 0, 5, 0)).unwrap();
    assert_eq!(reply(&mut stream), 0);
    stream.write_all(&request(0, 2, 0, 0)).unwrap();
    assert!(is_hung_up(&mut stream));
    // These two cannot be answered: what follows them is not known.
    for message in [vec![7; 28], request(0, 1, 0, (32 << 20) + 1)] {
        let mut stream = raw_client(&folder.path().join("ours.sock"));
        stream.write_all(&message).unwrap();
        assert!(is_hung_up(&mut stream));
    }
}

#[test]
fn handshakes_that_are_slow_or_wrong_end() {
    let folder = tempfile::tempdir().unwrap();
    let limits = ServerOptions {
        handshake_time_max: Duration::from_millis(300),
        ..ServerOptions::default()
    };
    let server = serve(folder.path(), disk(folder.path()), limits);
    let socket = folder.path().join("ours.sock");
    let mut silent = UnixStream::connect(&socket).unwrap();
    assert!(is_hung_up(&mut silent));
    // A byte now and then does not help.
    let mut dripping = UnixStream::connect(&socket).unwrap();
    dripping.write_all(&3u32.to_be_bytes()).unwrap();
    let began = Instant::now();
    wait_until("a dripping client is hung up on", || {
        std::thread::sleep(Duration::from_millis(20));
        dripping.write_all(b"I").is_err()
    });
    assert!(began.elapsed() >= Duration::from_millis(200));
    for sent in [
        [&0xffff_ffffu32.to_be_bytes()[..], &[0; 16]].concat(),
        [
            &3u32.to_be_bytes()[..],
            b"IHAVEOPT\0\0\0\x07\xff\xff\xff\xff",
        ]
        .concat(),
        [&3u32.to_be_bytes()[..], b"GET / HTTP/1.1\r\n\r\n"].concat(),
        [
            &3u32.to_be_bytes()[..],
            b"IHAVEOPT\0\0\0\x01\0\0\0\x05other",
        ]
        .concat(),
    ] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(&sent).unwrap();
        assert!(is_hung_up(&mut stream), "{sent:?}");
    }
    wait_until("all are forgotten", || server.client_count() == 0);
}

#[test]
fn a_client_that_does_not_read_holds_up_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let limits = ServerOptions {
        stall_time_max: Duration::from_millis(400),
        memory_bytes_max: 16 << 20,
        ..ServerOptions::default()
    };
    let server = serve(folder.path(), disk(folder.path()), limits);
    let socket = folder.path().join("ours.sock");
    let mut greedy = raw_client(&socket);
    for _ in 0..100 {
        greedy.write_all(&request(0, 0, 0, SIZE as u32)).unwrap();
    }
    // It has all of the memory; another is served nevertheless, at the latest when it is late.
    let simple = ClientOptions {
        replies: Replies::Simple,
        ..options()
    };
    let other = Client::connect(&format_address(&socket), simple).unwrap();
    other.read_into(0, &mut vec![0; 4 << 20]).unwrap();
    wait_until("the greedy one is hung up on", || {
        server.client_count() == 1
    });
}

fn format_address(socket: &Path) -> lifeboat_nbd::Address {
    lifeboat_nbd::Address::unix(socket, "disk")
}

#[test]
fn clients_that_rest_stay_and_those_that_stop_within_a_request_go() {
    let folder = tempfile::tempdir().unwrap();
    let limits = ServerOptions {
        stall_time_max: Duration::from_millis(100),
        ..ServerOptions::default()
    };
    let server = serve(folder.path(), disk(folder.path()), limits.clone());
    let socket = folder.path().join("ours.sock");
    let resting = Client::connect(&format_address(&socket), options()).unwrap();
    let mut stopping = raw_client(&socket);
    stopping.write_all(&request(0, 1, 0, 4096)).unwrap();
    stopping.write_all(&[1; 100]).unwrap();
    assert!(is_hung_up(&mut stopping));
    resting.read_into(0, &mut [0; 512]).unwrap();
    assert_eq!(resting.reconnects(), 0);
    drop(server);
    let limits = ServerOptions {
        idle_time_max: Some(Duration::from_millis(200)),
        ..limits
    };
    let server = serve(folder.path(), disk(folder.path()), limits);
    let mut idle = raw_client(&socket);
    assert!(is_hung_up(&mut idle));
    drop(server);
}

#[test]
fn too_many_clients_are_hung_up_on() {
    let folder = tempfile::tempdir().unwrap();
    let limits = ServerOptions {
        connections_max: 2,
        ..ServerOptions::default()
    };
    let server = serve(folder.path(), disk(folder.path()), limits);
    let socket = folder.path().join("ours.sock");
    let (first, _second) = (raw_client(&socket), raw_client(&socket));
    let mut third = UnixStream::connect(&socket).unwrap();
    assert!(is_hung_up(&mut third));
    drop(first);
    wait_until("there is room again", || server.client_count() == 1);
    drop(raw_client(&socket));
}

#[test]
fn a_server_that_stops_answers_what_has_arrived() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), disk(folder.path()), ServerOptions::default());
    let socket = folder.path().join("ours.sock");
    let client = Client::connect(&format_address(&socket), options()).unwrap();
    client.write_at(0, &[1; 4096], Durability::Cached).unwrap();
    let mut stream = raw_client(&socket);
    for _ in 0..10 {
        stream.write_all(&request(0, 0, 0, 4096)).unwrap();
    }
    let stopping = std::thread::spawn(move || server.stop(Duration::from_secs(10)));
    for _ in 0..10 {
        assert_eq!(reply(&mut stream), 0);
        stream.read_exact(&mut [0; 4096]).unwrap();
    }
    stopping.join().unwrap();
    assert!(is_hung_up(&mut stream));
    assert!(UnixStream::connect(&socket).is_err() && !socket.exists());
}

#[test]
fn a_socket_is_its_owners_and_replaces_only_dead_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = Listener::unix(&path).unwrap();
    let found = fs::metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let busy = Listener::unix(&path).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy, "{busy}");
    drop(listener);
    assert!(!path.exists());
    // What a killed server leaves.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Listener::unix(&path).unwrap();
    // Another took our place: it is not ours to remove.
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
    drop(other);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a file").unwrap();
    let exists = Listener::unix(&path).unwrap_err();
    assert_eq!(exists.kind(), ErrorKind::Exists, "{exists}");
    assert_eq!(fs::read(&path).unwrap(), b"a file");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/null", &path).unwrap();
    assert_eq!(Listener::unix(&path).unwrap_err().kind(), ErrorKind::Exists);
}

#[test]
fn a_server_that_has_stopped_holds_no_export() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path());
    for _ in 0..50 {
        let server = serve(folder.path(), disk.clone(), ServerOptions::default());
        let socket = folder.path().join("ours.sock");
        let client = Client::connect(&format_address(&socket), options()).unwrap();
        client.read_into(0, &mut [0; 512]).unwrap();
        server.stop(Duration::from_secs(10));
        assert_eq!(Arc::strong_count(&disk), 1);
    }
}
