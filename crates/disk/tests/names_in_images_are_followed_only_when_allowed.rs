//! What an image names is opened only when that was allowed, and never by guessing.

use std::path::Path;
use std::process::Command;

use lifeboat_disk::{
    BackingPolicy, DataFilePolicy, DiskReader, ImageFormat, InUsePolicy, OpenOptions, Qcow2Disk,
    Qcow2Image, RawDisk, open_reader,
};
use lifeboat_model::ErrorKind;

use crate::qemu::{self, Holder, folder, img, io, run, text};

fn backing(root: Option<&Path>, depth_max: u32) -> OpenOptions {
    let root = root.map(Path::to_owned);
    OpenOptions {
        backing: BackingPolicy::Allow { root, depth_max },
        ..OpenOptions::default()
    }
}

fn refusal(image: &Path, options: &OpenOptions) -> ErrorKind {
    let error = Qcow2Disk::open(image, options).unwrap_err();
    eprintln!("{:?}: {error}", error.kind());
    error.kind()
}

fn overlay(image: &Path, name: &str, format: &str) {
    let arguments = [
        "create",
        "-q",
        "-u",
        "-f",
        "qcow2",
        "-b",
        name,
        "-F",
        format,
        text(image),
        "1M",
    ];
    run("qemu-img", &arguments);
}

fn patch(image: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(image).unwrap();
    change(&mut bytes);
    std::fs::write(image, bytes).unwrap();
}

#[test]
fn backing_files_need_permission_a_stated_format_and_a_plain_path() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    std::fs::write(folder.join("base.raw"), vec![9; 1 << 20]).unwrap();
    overlay(&image, "base.raw", "raw");
    assert_eq!(refusal(&image, &OpenOptions::default()), ErrorKind::Denied);
    assert_eq!(refusal(&image, &backing(None, 0)), ErrorKind::Denied);
    let disk = Qcow2Disk::open(&image, &backing(Some(&folder), 1)).unwrap();
    let mut byte = [0];
    disk.read_at(5, &mut byte).unwrap();
    assert_eq!(byte, [9]);
    let place = std::fs::read(&image).unwrap();
    let place = place
        .windows(4)
        .position(|w| w == [0xe2, 0x79, 0x2a, 0xca])
        .unwrap();
    patch(&image, |bytes| bytes[place] = 0x11);
    assert_eq!(refusal(&image, &backing(None, 1)), ErrorKind::Denied);
    for name in [
        "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}}",
        "nbd://127.0.0.1:1/x",
        "nbd:unix:/x",
        "http://127.0.0.1/x",
        "file:base.raw",
        "fat:/etc",
    ] {
        overlay(&image, name, "raw");
        assert_eq!(
            refusal(&image, &backing(None, 9)),
            ErrorKind::Unsupported,
            "{name}"
        );
    }
    overlay(&image, "base.raw", "vmdk");
    assert_eq!(refusal(&image, &backing(None, 9)), ErrorKind::Unsupported);
    overlay(&image, "missing.raw", "raw");
    assert_eq!(refusal(&image, &backing(None, 9)), ErrorKind::NotFound);
    overlay(&image, text(&folder), "raw");
    assert_eq!(refusal(&image, &backing(None, 9)), ErrorKind::Invalid);
}

#[test]
fn chains_end_at_cycles_depth_and_the_root() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = |index: u32| folder.join(format!("{index}.qcow2"));
    overlay(&image(0), "0.qcow2", "qcow2");
    assert_eq!(refusal(&image(0), &backing(None, 300)), ErrorKind::Corrupt);
    overlay(&image(0), "1.qcow2", "qcow2");
    overlay(&image(1), "0.qcow2", "qcow2");
    assert_eq!(refusal(&image(0), &backing(None, 300)), ErrorKind::Corrupt);
    img("create -q -f qcow2 @ 1M", &image(300));
    for index in (0..300).rev() {
        overlay(&image(index), &format!("{}.qcow2", index + 1), "qcow2");
    }
    assert_eq!(refusal(&image(0), &backing(None, 200)), ErrorKind::Denied);
    assert!(Qcow2Disk::open(&image(295), &backing(None, 5)).is_ok());
    assert_eq!(refusal(&image(295), &backing(None, 4)), ErrorKind::Denied);

    let inner = folder.join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(folder.join("secret"), [1; 512]).unwrap();
    std::os::unix::fs::symlink(folder.join("secret"), inner.join("link")).unwrap();
    for name in ["../secret", "link", text(&folder.join("secret"))] {
        let top = inner.join("top.qcow2");
        overlay(&top, name, "raw");
        assert_eq!(
            refusal(&top, &backing(Some(&inner), 3)),
            ErrorKind::Denied,
            "{name}"
        );
        assert!(Qcow2Disk::open(&top, &backing(Some(&folder), 3)).is_ok());
    }
}

#[test]
fn data_files_need_permission_too() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    let data = folder.join("d.raw");
    img(
        &format!("create -q -f qcow2 -o data_file={} @ 1M", text(&data)),
        &image,
    );
    assert_eq!(refusal(&image, &OpenOptions::default()), ErrorKind::Denied);
    assert_eq!(refusal(&image, &backing(None, 9)), ErrorKind::Denied);
    let stated = Qcow2Image::open(&image).unwrap().data_file().unwrap();
    assert_eq!(stated.name, text(&data).as_bytes());
    let allow = |root: &Path| OpenOptions {
        data_file: DataFilePolicy::Allow {
            root: Some(root.to_owned()),
        },
        ..OpenOptions::default()
    };
    assert!(Qcow2Disk::open(&image, &allow(&folder)).is_ok());
    assert_eq!(
        refusal(&image, &allow(Path::new("/usr"))),
        ErrorKind::Denied
    );
}

#[test]
fn encrypted_corrupt_and_unknown_images_are_refused() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    let options = OpenOptions::default();
    let luks = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    let create = [
        "create",
        "-q",
        "-f",
        "qcow2",
        "--object",
        "secret,id=s,data=123456",
        "-o",
        luks,
    ];
    // On a loaded machine it cannot always measure how fast the key derivation is.
    let made = (0..50).any(|_| {
        let mut command = Command::new("qemu-img");
        command
            .args(create)
            .args([text(&image), "1M"])
            .output()
            .unwrap()
            .status
            .success()
    });
    assert!(made, "qemu-img makes no encrypted image");
    assert_eq!(refusal(&image, &options), ErrorKind::Unsupported);
    img("create -q -f qcow2 @ 1M", &image);
    patch(&image, |bytes| bytes[35] = 1);
    assert_eq!(refusal(&image, &options), ErrorKind::Unsupported);
    for (bit, verdict) in [
        (2, Some(ErrorKind::Corrupt)),
        (32, Some(ErrorKind::Unsupported)),
        (1, None),
    ] {
        img("create -q -f qcow2 @ 1M", &image);
        patch(&image, |bytes| bytes[79] |= bit);
        let opened = Qcow2Disk::open(&image, &options)
            .map(|_| ())
            .map_err(|e| e.kind());
        assert_eq!(
            opened,
            verdict.map_or(Ok(()), Err),
            "incompatible bit {bit}"
        );
    }
    std::fs::write(
        &image,
        b"QFI\xfb\0\0\0\x01 and more of what is no image at all",
    )
    .unwrap();
    assert_eq!(refusal(&image, &options), ErrorKind::Unsupported);
    std::fs::write(&image, b"KDMV").unwrap();
    assert_eq!(refusal(&image, &options), ErrorKind::Corrupt);
}

#[test]
fn a_raw_disk_stays_raw_whatever_the_guest_writes_into_it() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    overlay(&image, "/etc/passwd", "raw");
    let bytes = std::fs::read(&image).unwrap();
    let disk = open_reader(&image, ImageFormat::Raw, &OpenOptions::default()).unwrap();
    assert_eq!(disk.size(), bytes.len() as u64);
    qemu::assert_reads_as(&*disk, &bytes, "raw");
    let options = OpenOptions {
        internal_snapshot: Some("1".into()),
        ..OpenOptions::default()
    };
    let error = open_reader(&image, ImageFormat::Raw, &options)
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for place in [Path::new("/dev/null"), &folder] {
        assert_eq!(RawDisk::open(place).unwrap_err().kind(), ErrorKind::Invalid);
    }
    run("mkfifo", &[folder.join("fifo")]);
    let error = RawDisk::open(&folder.join("fifo")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn an_image_that_qemu_has_open_for_writing_is_busy() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let image = folder.join("a.qcow2");
    img("create -q -f qcow2 @ 1M", &image);
    // `-n` changes nothing but the cache; the second mode is read-only.
    for (mode, verdict) in [("-n", Err(ErrorKind::Busy)), ("-r", Ok(()))] {
        let held = Holder::open(&[mode, text(&image)]);
        for format in [ImageFormat::Qcow2, ImageFormat::Raw] {
            let opened = open_reader(&image, format, &OpenOptions::default());
            assert_eq!(
                opened.map(|_| ()).map_err(|e| e.kind()),
                verdict,
                "{mode} {format}"
            );
            let forced = OpenOptions {
                in_use: InUsePolicy::Allow,
                ..OpenOptions::default()
            };
            assert!(open_reader(&image, format, &forced).is_ok());
        }
        drop(held);
    }
    io(&[text(&image)], &["read 0 512".into()]);
}
