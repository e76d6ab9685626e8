//! A read gives exactly the bytes asked for, or an error: whatever the server sends.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use lifeboat_model::{ErrorKind, Extent};
use lifeboat_nbd::{Access, Client, Fragments, Order, Replies, ServerOptions};

use crate::disks::{RawFile, dice, serve, sparse};
use crate::tools::{Peer, are_here, options, with_contexts};

const DATA: u16 = 1;
const HOLE: u16 = 2;
const STATUS: u16 = 5;
const ERROR: u16 = 0x8001;
const ERROR_OFFSET: u16 = 0x8002;

/// What a fake server knows of a request.
#[derive(Clone, Copy)]
struct Asked {
    cookie: u64,
    offset: u64,
    length: u32,
}

impl Asked {
    fn chunk(self, is_last: bool, kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut message = 0x668e_33efu32.to_be_bytes().to_vec();
        message.extend(u16::from(is_last).to_be_bytes());
        message.extend(kind.to_be_bytes());
        message.extend(self.cookie.to_be_bytes());
        message.extend((payload.len() as u32).to_be_bytes());
        message.extend(payload);
        message
    }

    fn data(self, is_last: bool, from: u64, length: usize) -> Vec<u8> {
        let mut payload = (self.offset + from).to_be_bytes().to_vec();
        payload.resize(8 + length, 7);
        self.chunk(is_last, DATA, &payload)
    }

    fn hole(self, is_last: bool, from: u64, length: u32) -> Vec<u8> {
        let mut payload = (self.offset + from).to_be_bytes().to_vec();
        payload.extend(length.to_be_bytes());
        self.chunk(is_last, HOLE, &payload)
    }

    fn simple(self, error: u32, payload: &[u8]) -> Vec<u8> {
        let mut message = 0x6744_6698u32.to_be_bytes().to_vec();
        message.extend(error.to_be_bytes());
        message.extend(self.cookie.to_be_bytes());
        message.extend(payload);
        message
    }
}

fn answer(option: u32, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut message = 0x0003_e889_0455_65a9u64.to_be_bytes().to_vec();
    message.extend(option.to_be_bytes());
    message.extend(kind.to_be_bytes());
    message.extend((body.len() as u32).to_be_bytes());
    message.extend(body);
    message
}

fn greeting() -> Vec<u8> {
    [&b"NBDMAGICIHAVEOPT"[..], &3u16.to_be_bytes()].concat()
}

/// A server of 64 KiB that shakes hands well and then answers as it is told.
fn fake(mut reply: impl FnMut(Asked) -> Vec<u8> + Send + 'static) -> UnixStream {
    let (mut theirs, ours) = UnixStream::pair().unwrap();
    std::thread::spawn(move || -> std::io::Result<()> {
        theirs.write_all(&greeting())?;
        theirs.read_exact(&mut [0; 4])?;
        loop {
            let mut head = [0; 16];
            theirs.read_exact(&mut head)?;
            let option = u32::from_be_bytes(head[8..12].try_into().unwrap());
            let length = u32::from_be_bytes(head[12..].try_into().unwrap());
            theirs.read_exact(&mut vec![0; length as usize])?;
            match option {
                8 => theirs.write_all(&answer(8, 1, &[]))?,
                10 => {
                    let context = [&7u32.to_be_bytes()[..], b"base:allocation"].concat();
                    theirs.write_all(&answer(10, 4, &context))?;
                    theirs.write_all(&answer(10, 1, &[]))?;
                }
                7 => {
                    let flags = 1u16 | 1 << 7;
                    let size = (64u64 << 10).to_be_bytes();
                    let export = [&[0, 0][..], &size, &flags.to_be_bytes()].concat();
                    theirs.write_all(&answer(7, 3, &export))?;
                    theirs.write_all(&answer(7, 1, &[]))?;
                    break;
                }
                other => theirs.write_all(&answer(other, 0x8000_0001, &[]))?,
            }
        }
        loop {
            let mut request = [0; 28];
            theirs.read_exact(&mut request)?;
            let number = |at: usize| u64::from_be_bytes(request[at..at + 8].try_into().unwrap());
            if request[7] == 2 {
                return Ok(());
            }
            theirs.write_all(&reply(Asked {
                cookie: number(8),
                offset: number(16),
                length: u32::from_be_bytes(request[24..].try_into().unwrap()),
            }))?;
        }
    });
    ours
}

/// A name, and what a server might say to a read of 4096 bytes.
type Reply = (&'static str, fn(Asked) -> Vec<u8>);

const BROKEN: [Reply; 21] = [
    ("a gap", |it| {
        [it.data(false, 0, 2000), it.data(true, 2001, 2095)].concat()
    }),
    ("short", |it| it.data(true, 0, 4095)),
    ("nothing", |it| it.chunk(true, 0, &[])),
    ("twice", |it| {
        [it.data(false, 0, 4096), it.data(true, 0, 4096)].concat()
    }),
    ("overlap", |it| {
        [it.data(false, 0, 2048), it.data(true, 2047, 2049)].concat()
    }),
    ("data in a hole", |it| {
        [it.hole(false, 0, 4096), it.data(true, 10, 1)].concat()
    }),
    ("too long", |it| it.data(true, 0, 4097)),
    ("elsewhere", |it| it.data(true, 4096, 4096)),
    ("far away", |it| it.data(true, u64::MAX - it.offset, 4096)),
    ("empty data", |it| it.data(true, 0, 0)),
    ("empty hole", |it| it.hole(true, 0, 0)),
    ("long hole", |it| it.hole(true, 0, u32::MAX)),
    ("hole with more", |it| it.chunk(true, HOLE, &[0; 13])),
    ("simple", |it| it.simple(0, &[7; 4096])),
    ("another cookie", |it| {
        Asked {
            cookie: it.cookie + 1,
            ..it
        }
        .data(true, 0, 4096)
    }),
    ("unknown kind", |it| it.chunk(true, 77, &[])),
    ("error 0", |it| it.chunk(true, ERROR, &[0; 6])),
    ("cut error", |it| it.chunk(true, ERROR, &[0, 0, 0, 5, 0, 9])),
    ("status", |it| {
        it.chunk(true, STATUS, &[0, 0, 0, 7, 0, 0, 16, 0, 0, 0, 0, 0])
    }),
    ("none, not last", |it| it.chunk(false, 0, &[])),
    ("noise", |_| {
        b"nothing that anyone would understand".to_vec()
    }),
];

#[test]
fn replies_that_are_not_the_bytes_asked_for_are_errors() {
    for (name, reply) in BROKEN {
        let client = Client::over(fake(reply), "x", options()).unwrap();
        let error = client.read_into(8192, &mut [0; 4096]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error}");
        let client = Client::over(fake(reply), "x", options()).unwrap();
        let mut reads = client.reads(Extent::new(8192, 12288), Order::Arrival);
        let error = reads.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error}");
        assert!(reads.next().is_none(), "{name}");
    }
}

#[test]
fn a_broken_reply_that_another_call_takes_in_is_not_data_for_its_owner() {
    let reply = |it: Asked| match it.offset {
        0 => it.data(true, 0, it.length as usize - 1),
        _ => it.data(true, 0, it.length as usize),
    };
    let client = Client::over(fake(reply), "x", options()).unwrap();
    let ranges = [Extent::new(32768, 36864), Extent::new(0, 4096)];
    let mut reads = client.reads(ranges.into_iter().flatten(), Order::Given);
    assert_eq!(*reads.next().unwrap().unwrap(), [7; 4096]);
    let error = client.read_into(8192, &mut [0; 4096]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    reads.next().unwrap().unwrap_err();
}

#[test]
fn pieces_in_any_order_are_put_together() {
    let client = Client::over(
        fake(|it| {
            [
                it.data(false, 4000, 96),
                it.hole(false, 0, 1000),
                it.data(false, 2000, 2000),
                it.data(false, 1000, 1000),
                it.chunk(true, 0, &[]),
            ]
            .concat()
        }),
        "x",
        options(),
    )
    .unwrap();
    let mut buffer = [9; 4096];
    client.read_into(8192, &mut buffer).unwrap();
    assert_eq!(buffer[..1000], [0; 1000]);
    assert_eq!(buffer[1000..], [7; 3096]);
}

#[test]
fn a_reply_in_pieces_is_refused_where_one_was_asked_for() {
    let whole = lifeboat_nbd::ClientOptions {
        fragments: Fragments::Refused,
        ..options()
    };
    let reply = |it: Asked| [it.data(false, 0, 96), it.data(true, 96, 4000)].concat();
    let client = Client::over(fake(reply), "x", whole).unwrap();
    let error = client.read_into(0, &mut [0; 4096]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn an_error_wins_over_data_and_the_connection_stays_usable() {
    let mut count = 0;
    let reply = move |it: Asked| {
        count += 1;
        let failure = |offset: u64| {
            let text = b"scratched";
            let mut payload = [&5u32.to_be_bytes()[..], &[0, 9], text].concat();
            payload.extend(offset.to_be_bytes());
            payload
        };
        match count {
            1 => [
                it.data(false, 0, 2048),
                it.chunk(false, ERROR_OFFSET, &failure(it.offset + 2048)),
                it.data(true, 2048, 2048),
            ]
            .concat(),
            2 => it.chunk(true, 0x8000 | 99, &failure(0)),
            _ => it.data(true, 0, it.length as usize),
        }
    };
    let client = Client::over(fake(reply), "x", options()).unwrap();
    let error = client.read_into(8192, &mut [0; 4096]).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Io, Some(10240)));
    assert!(error.to_string().contains("scratched"), "{error}");
    let error = client.read_into(8192, &mut [0; 4096]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    let mut buffer = [0; 4096];
    client.read_into(8192, &mut buffer).unwrap();
    assert_eq!(buffer, [7; 4096]);
}

#[test]
fn statuses_that_lie_are_errors() {
    let number = |numbers: &[u32]| -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    };
    let cases: [(&str, Vec<Vec<u32>>); 6] = [
        ("no extent", vec![vec![7]]),
        ("empty extent", vec![vec![7, 0, 0]]),
        ("another context", vec![vec![8, 4096, 0]]),
        ("twice", vec![vec![7, 4096, 0], vec![7, 4096, 0]]),
        ("half an extent", vec![vec![7, 4096]]),
        ("nothing", vec![]),
    ];
    for (name, chunks) in cases {
        let reply = move |it: Asked| {
            let mut message = Vec::new();
            for chunk in &chunks {
                message.extend(it.chunk(false, STATUS, &number(chunk)));
            }
            message.extend(it.chunk(true, 0, &[]));
            message
        };
        let client = Client::over(fake(reply), "x", with_contexts(&["base:allocation"])).unwrap();
        let mut found = client
            .extents(&["base:allocation"], Extent::new(0, 65536).unwrap())
            .unwrap();
        let error = found.next().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error}");
        assert!(found.next().is_none());
    }
    // One that goes beyond the question is cut at the disk's end.
    let reply = move |it: Asked| it.chunk(true, STATUS, &number(&[7, 1 << 20, 3]));
    let client = Client::over(fake(reply), "x", with_contexts(&["base:allocation"])).unwrap();
    let range = Extent::new(100, 65536).unwrap();
    let found: Vec<_> = client
        .extents(&["base:allocation"], range)
        .unwrap()
        .collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].as_ref().unwrap().extent, range);
}

#[test]
fn handshakes_that_lie_or_never_end_are_errors() {
    let export = |size: u64| [&[0, 0][..], &size.to_be_bytes(), &[0, 1]].concat();
    let blocks = |sizes: [u32; 3]| -> Vec<u8> {
        let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
        [0, 3].into_iter().chain(sizes).collect()
    };
    let ack = answer(7, 1, &[]);
    let cases: [(&str, Vec<u8>); 9] = [
        (
            "noise",
            b"GET / HTTP/1.1\r\nHost: somewhere, a long line".to_vec(),
        ),
        ("another magic", vec![0; 20]),
        ("for another option", answer(3, 1, &[])),
        ("no size", ack.clone()),
        (
            "too large",
            [answer(7, 3, &export(1 << 63)), ack.clone()].concat(),
        ),
        ("cut fact", [answer(7, 3, &[0, 0, 1]), ack.clone()].concat()),
        (
            "odd blocks",
            [
                answer(7, 3, &export(512)),
                answer(7, 3, &blocks([3, 4, 5])),
                ack,
            ]
            .concat(),
        ),
        ("a long answer", {
            let mut long = answer(7, 3, &[]);
            long[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
            long
        }),
        ("without end", answer(7, 3, &export(512)).repeat(500)),
    ];
    for (name, sent) in cases {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        theirs.write_all(&[greeting(), sent].concat()).unwrap();
        let simple = lifeboat_nbd::ClientOptions {
            replies: Replies::Simple,
            ..options()
        };
        let error = Client::over(ours, "x", simple).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error}");
    }
}

#[test]
fn errors_of_real_servers_are_errors() {
    if !are_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (index, kind) in ["EIO", "ENOSPC", "EPERM"].iter().enumerate() {
        for more in ["", " --no-sr"] {
            let socket = folder.path().join(format!("{index}{}", more.len()));
            let line = format!(
                "nbdkit -f -r{more} -U @1 --filter=error memory 8M error={kind} error-rate=100% \
                 error-pread-rate=100%"
            );
            let peer = Peer::start(&socket, &line, &[]);
            let client = Client::connect(&peer.address(""), options()).unwrap();
            let expected = [ErrorKind::Io, ErrorKind::Full, ErrorKind::Denied][index];
            let error = client.read_into(4096, &mut [0; 512]).unwrap_err();
            assert_eq!(error.kind(), expected, "{error}");
            let mut reads = client.reads(Extent::new(0, 8 << 20), Order::Given);
            assert_eq!(reads.next().unwrap().unwrap_err().kind(), expected);
        }
    }
    let line = "nbdkit -f -r -U @1 --filter=error --filter=delay pattern 8M \
                error-pread-rate=30% rdelay=2ms";
    let peer = Peer::start(&folder.path().join("some"), line, &[]);
    let client = Client::connect(&peer.address(""), options()).unwrap();
    let (mut good, mut bad) = (0, 0);
    for block in 0..128u64 {
        let mut buffer = [0; 4096];
        match client.read_into(block * 4096, &mut buffer) {
            Ok(()) => {
                // The pattern plugin: each eight bytes are their offset.
                for (index, word) in buffer.chunks(8).enumerate() {
                    let at = block * 4096 + index as u64 * 8;
                    assert_eq!(word, at.to_be_bytes());
                }
                good += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                bad += 1;
            }
        }
    }
    assert!(good > 0 && bad > 0, "{good} {bad}");
}

#[test]
fn our_servers_errors_carry_their_place_and_their_text() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    sparse(&raw, 8 << 20, &dice());
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::File::options().write(true).open(&raw).unwrap(),
        &vec![1; 4 << 20],
        0,
    )
    .unwrap();
    let mut disk = RawFile::open(&raw, Access::ReadOnly);
    disk.broken = Extent::at(3 << 20, 512);
    let server = serve(folder.path(), Arc::new(disk), ServerOptions::default());
    for replies in [Replies::Best, Replies::Structured, Replies::Simple] {
        let options = lifeboat_nbd::ClientOptions {
            replies,
            request_bytes: 32 << 20,
            ..options()
        };
        let client = Client::connect(server.address(), options).unwrap();
        let error = client.read_into(0, &mut vec![0; 8 << 20]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        if replies != Replies::Simple {
            assert_eq!(error.offset(), Some(3 << 20), "{error}");
            assert!(error.to_string().contains("scratched"), "{error}");
        }
        client.read_into(0, &mut vec![0; 3 << 20]).unwrap();
    }
}
