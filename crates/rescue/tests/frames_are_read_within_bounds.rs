//! Both sides understand each other, and nobody believes a length.

use lifeboat_model::ErrorKind;
use lifeboat_rescue::wire::{
    Attribute, DATA_BYTES_MAX, Entry, FRAME_BYTES_MAX, FileKind, FoundVolume, Moment, Place, Reply,
    Request, VolumePlace, read_frame, write_frame,
};

fn entry(name: &[u8]) -> Entry {
    let moment = Moment {
        seconds: -5,
        nanoseconds: 999_999_999,
    };
    Entry {
        name: name.to_vec(),
        kind: FileKind::Symlink,
        mode: 0o7777,
        uid: u32::MAX,
        gid: 7,
        size: i64::MAX as u64,
        allocated: 8192,
        atime: moment,
        mtime: moment,
        ctime: moment,
        inode: u64::MAX,
        device_id: 2,
        links: 3,
        device: 4,
        link_target: Some(b"\xff".to_vec()),
        attributes: vec![Attribute {
            name: b"user.x".to_vec(),
            value: vec![0; 64 << 10],
        }],
    }
}

fn volume(place: VolumePlace) -> FoundVolume {
    FoundVolume {
        place,
        size: u64::MAX,
        content: "ext4".into(),
        label: "ü".repeat(1000),
        uuid: String::new(),
        is_readable: true,
        mounted_at: Some("/boot".into()),
        letter: Some('C'),
        note: String::new(),
    }
}

fn replies() -> Vec<Reply> {
    let (group, name) = ("g".into(), "n".into());
    vec![
        Reply::Hello { version: 9 },
        Reply::Volumes(vec![
            FoundVolume {
                label: "x".into(),
                ..volume(VolumePlace::Disk(1))
            },
            FoundVolume {
                label: String::new(),
                ..volume(VolumePlace::Logical { group, name })
            },
        ]),
        Reply::Entry(entry(b"\xffname").into()),
        Reply::Leave,
        Reply::Data {
            offset: 7,
            bytes: vec![1; DATA_BYTES_MAX],
        },
        Reply::ContentEnd,
        Reply::SameContent,
        Reply::Missing {
            path: "/srv".into(),
            text: "it is on no disk".into(),
        },
        Reply::Fault("damaged".into()),
        Reply::Alive,
        Reply::Output(vec![2]),
        Reply::Exited {
            code: 137,
            is_timed_out: true,
        },
        Reply::Done,
        Reply::Failed {
            kind: ErrorKind::Denied,
            text: "no".into(),
        },
    ]
}

#[test]
fn what_is_said_is_understood() {
    for reply in replies() {
        assert_eq!(Reply::decode(&reply.encode()).unwrap(), reply);
    }
    let place = Place {
        volume: Some(3),
        path: b"/\xff".to_vec(),
        follows_last: true,
    };
    for request in [
        Request::Volumes,
        Request::List(place.clone()),
        Request::Describe(place.clone()),
        Request::Walk(place.clone()),
        Request::Read {
            place,
            offset: u64::MAX,
            length: 5,
        },
        Request::Run {
            words: vec![b"a".to_vec(), Vec::new()],
            environment: vec![b"A=b".to_vec()],
            seconds_max: 1,
        },
        Request::Stop,
        Request::Finish,
    ] {
        assert_eq!(Request::decode(&request.encode()).unwrap(), request);
    }
}

#[test]
fn every_cut_or_longer_message_is_refused() {
    for reply in replies() {
        let body = reply.encode();
        let is_stream = matches!(reply, Reply::Data { .. } | Reply::Output(_));
        for length in (0..body.len()).filter(|length| !is_stream && *length < 2000) {
            assert!(
                Reply::decode(&body[..length]).is_err(),
                "{reply:?} cut at {length}"
            );
        }
        let longer = [&body[..], &[0]].concat();
        assert!(Reply::decode(&longer).is_err() || matches!(reply, Reply::Output(_)));
    }
}

#[test]
fn names_that_would_lead_elsewhere_are_refused() {
    for name in [&b".."[..], b".", b"a/b", b"/", b"a\0b"] {
        assert!(Reply::decode(&Reply::Entry(entry(name).into()).encode()).is_err());
    }
    let broken = [
        Entry {
            link_target: None,
            ..entry(b"x")
        },
        Entry {
            kind: FileKind::File,
            ..entry(b"x")
        },
        Entry {
            mode: 0o10000,
            ..entry(b"x")
        },
        Entry {
            size: u64::MAX,
            ..entry(b"x")
        },
    ];
    for entry in broken {
        assert!(Reply::decode(&Reply::Entry(entry.into()).encode()).is_err());
    }
}

#[test]
fn long_texts_are_cut_between_letters() {
    let reply = Reply::Volumes(vec![volume(VolumePlace::Partition { disk: 0, number: 1 })]);
    let Reply::Volumes(volumes) = Reply::decode(&reply.encode()).unwrap() else {
        panic!("no volumes");
    };
    assert_eq!(volumes[0].label, "ü".repeat(127));
    let many = vec![volumes[0].clone(); 2000];
    assert!(Reply::Volumes(many).encode().len() <= FRAME_BYTES_MAX);
}

#[test]
fn lengths_out_of_bounds_take_no_memory() {
    let mut body = Vec::new();
    for length in [0, FRAME_BYTES_MAX as u32 + 1, u32::MAX] {
        let stream = length.to_le_bytes();
        assert!(read_frame(&mut &stream[..], &mut body).is_err());
        assert_eq!(body.capacity(), 0);
    }
    assert!(write_frame(&mut Vec::new(), &[]).is_err());
    let mut stream = Vec::new();
    write_frame(&mut stream, b"body").unwrap();
    read_frame(&mut &stream[..], &mut body).unwrap();
    assert_eq!(body, b"body");
}
