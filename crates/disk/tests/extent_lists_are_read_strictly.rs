//! Extent lists of QEMU's and libnbd's tools give the changed ranges, or an error.

use lifeboat_disk::{ChangedExtents, DataExtents};
use lifeboat_model::{ErrorKind, ExtentSet};

use crate::qemu::{self, folder, img, io, run, text};

fn pairs(set: &ExtentSet) -> Vec<(u64, u64)> {
    set.iter().map(|e| (e.start(), e.end())).collect()
}

fn changed(list: &str, size: u64) -> Vec<(u64, u64)> {
    pairs(&ChangedExtents::from_json(list.as_bytes(), size).unwrap())
}

fn refusal(list: &str, size: u64) -> String {
    let error = ChangedExtents::from_json(list.as_bytes(), size).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

#[test]
fn dirty_bitmaps_of_nbdinfo() {
    let list = r#"[
        {"offset": 0, "length": 65536, "type": 0, "description": "clean"},
        {"offset": 65536, "length": 65536, "type": 1, "description": "dirty"},
        {"offset": 131072, "length": 1000, "type": 1, "description": "dirty"}
    ]"#;
    assert_eq!(changed(list, 132_072), [(65_536, 132_072)]);
    assert_eq!(
        changed(list, 132_000),
        [(65_536, 132_000)],
        "tools round up to sectors"
    );
    assert_eq!(changed("[]", 0), []);
    let depth = r#"[{"offset":0,"length":512,"type":1,"description":"local"},
        {"offset":512,"length":512,"type":2,"description":"backing depth 2"},
        {"offset":1024,"length":512,"type":0,"description":"unallocated"}]"#;
    assert_eq!(changed(depth, 1536), [(0, 512)]);
}

#[test]
fn allocation_maps_tell_data_and_not_changes() {
    let list = r#"[{"offset":0,"length":512,"type":0,"description":"data"},
        {"offset":512,"length":512,"type":3,"description":"hole,zero"},
        {"offset":1024,"length":512,"type":1,"description":"hole"},
        {"offset":1536,"length":512,"type":2,"description":"zero"}]"#;
    let data = DataExtents::from_json(list.as_bytes(), 2048).unwrap();
    assert_eq!(pairs(&data), [(0, 512), (1024, 1536)]);
    assert!(refusal(list, 2048).contains("does not say what changed"));
    let dirty = br#"[{"offset":0,"length":512,"type":0,"description":"clean"}]"#;
    assert!(DataExtents::from_json(dirty, 512).is_err());
}

#[test]
fn an_overlays_own_clusters_by_qemu_img() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let (base, top) = (folder.join("base.qcow2"), folder.join("top.qcow2"));
    img("create -q -f qcow2 @ 4M", &base);
    io(&[text(&base)], &["write -P 1 0 2M".into()]);
    img("create -q -f qcow2 -b base.qcow2 -F qcow2 @ 5M", &top);
    let commands = [
        "write -P 2 64k 64k",
        "write -z 1M 128k",
        "write -P 3 4992k 64k",
    ];
    io(&[text(&top)], &commands.map(String::from));
    let list = run(
        "qemu-img",
        &["map", "--output=json", "-f", "qcow2", text(&top)],
    );
    let list = String::from_utf8(list).unwrap();
    let own = [
        (65_536, 131_072),
        (1 << 20, (1 << 20) + 131_072),
        (4992 << 10, 5056 << 10),
    ];
    assert_eq!(changed(&list, 5 << 20), own, "{list}");
    let data = DataExtents::from_json(list.as_bytes(), 5 << 20).unwrap();
    let filled = [
        (0, 1 << 20),
        ((1 << 20) + 131_072, 2 << 20),
        (4992 << 10, 5056 << 10),
    ];
    assert_eq!(pairs(&data), filled, "{list}");
}

#[test]
fn doubtful_lists_are_refused() {
    let entry = |offset: u64, length: u64| {
        format!(r#"{{"offset":{offset},"length":{length},"type":1,"description":"dirty"}}"#)
    };
    let list = |entries: &[(u64, u64)]| {
        let entries: Vec<_> = entries.iter().map(|e| entry(e.0, e.1)).collect();
        format!("[{}]", entries.join(","))
    };
    for (entries, words) in [
        (&[(0, 512), (256, 512)][..], "overlaps"),
        (&[(0, 256), (512, 512)], "gap"),
        (&[(512, 512)], "gap"),
        (&[(0, 512)], "the disk at 1024"),
        (&[(0, 2048)], "the disk at 1024"),
        (&[(0, 0), (0, 1024)], "impossible length"),
        (&[(0, u64::MAX)], "the disk at 1024"),
        (&[(0, 1), (1, u64::MAX)], "impossible length"),
    ] {
        let seen = refusal(&list(entries), 1024);
        assert!(seen.contains(words), "{entries:?}: {seen}");
    }
    for text in [
        "",
        "{}",
        "[",
        "[1]",
        r#"[{"offset":0,"length":1024}]"#,
        r#"[{"length":1024,"type":1,"description":"dirty"}]"#,
        r#"[{"offset":0,"length":1024,"type":1}]"#,
        r#"[{"offset":0,"length":1024,"type":0,"description":"dirty"}]"#,
        r#"[{"offset":0,"length":1024,"type":1,"description":"odd"}]"#,
        r#"[{"offset":-1,"length":1024,"type":1,"description":"dirty"}]"#,
        r#"[{"start":0,"length":1024,"present":true}]"#,
        r#"[{"start":0,"length":1024,"depth":0}] x"#,
    ] {
        refusal(text, 1024);
    }
}
