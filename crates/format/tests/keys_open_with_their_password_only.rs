//! A key file gives the master key for its password, and says what is wrong otherwise.

use jiff::Timestamp;
use lifeboat_format::{KeyFile, KeyOwner, MasterKey, SEAL_OVERHEAD, ScryptCost};
use lifeboat_model::{ErrorKind, Secret};
use proptest::prelude::*;

use crate::sandbox::{Repeatable, files, golden_path, key};

const CHEAP: ScryptCost = ScryptCost { n: 16, r: 8, p: 1 };

fn secret(password: &str) -> Secret {
    Secret::new(password.into())
}

fn owner() -> KeyOwner {
    let created = Timestamp::new(1_700_000_000, 5).unwrap();
    KeyOwner {
        username: "root".into(),
        hostname: "a<b".into(),
        created,
    }
}

fn text(cost: ScryptCost) -> String {
    let entropy = &Repeatable::new(9);
    let (_, json) = KeyFile::create(&secret("pass"), &key(), &owner(), cost, entropy).unwrap();
    String::from_utf8(json).unwrap()
}

fn kind_of(json: &str) -> ErrorKind {
    let opened = KeyFile::decode(json.as_bytes()).and_then(|key| key.open(&secret("pass")));
    opened.unwrap_err().kind()
}

#[test]
fn the_password_gives_the_master_key() {
    let file = KeyFile::decode(text(CHEAP).as_bytes()).unwrap();
    let sealed = key().seal(b"proof", &Repeatable::new(1));
    let master = file.open(&secret("pass")).unwrap();
    assert_eq!(master.unseal(&sealed).unwrap(), b"proof");
    assert_eq!(file.created.timestamp(), owner().created);
    assert_eq!((&*file.username, &*file.hostname), ("root", "a<b"));
    assert_eq!(file.encode().unwrap(), text(CHEAP).into_bytes());
    for wrong in ["", "Pass", "pass ", "golden"] {
        assert_eq!(
            file.open(&secret(wrong)).unwrap_err().kind(),
            ErrorKind::Denied
        );
    }
}

#[test]
fn the_shape_is_restics() {
    let start = r#"{"created":"2023-11-14T22:13:20.000000005Z","username":"root",
        "hostname":"a\u003cb",
        "kdf":"scrypt","N":16,"r":8,"p":1,"salt":""#;
    let start = start.replace("\n        ", "");
    assert!(text(CHEAP).starts_with(&start), "{}", text(CHEAP));
    for golden in ["restic-0.14", "restic-0.19"] {
        for json in files(&golden_path(golden).join("keys")).into_values() {
            assert_eq!(KeyFile::decode(&json).unwrap().encode().unwrap(), json);
        }
    }
}

#[test]
fn a_key_of_real_restic_needs_its_password() {
    for json in files(&golden_path("restic-0.19").join("keys")).into_values() {
        let file = KeyFile::decode(&json).unwrap();
        assert!(file.open(&secret("golden")).is_ok());
        assert_eq!(
            file.open(&secret("Golden")).unwrap_err().kind(),
            ErrorKind::Denied
        );
    }
}

#[test]
fn what_is_broken_is_named() {
    let good = text(CHEAP);
    let salt = good
        .split("\"salt\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert_eq!(salt.len(), 88);
    for (from, to, kind) in [
        (r#""scrypt""#, r#""argon2id""#, ErrorKind::Unsupported),
        (salt, "AAAA", ErrorKind::Corrupt),
        (salt, "not base64!", ErrorKind::Corrupt),
        (r#""N":16"#, r#""N":15"#, ErrorKind::Corrupt),
        (r#""N":16"#, r#""N":0"#, ErrorKind::Corrupt),
        (r#""N":16"#, r#""N":1"#, ErrorKind::Corrupt),
        (r#""N":16"#, r#""N":-16"#, ErrorKind::Corrupt),
        (r#""N":16"#, r#""N":1048576"#, ErrorKind::Unsupported),
        (r#""N":16"#, r#""N":2147483648"#, ErrorKind::Unsupported),
        (r#""r":8"#, r#""r":0"#, ErrorKind::Corrupt),
        (r#""r":8"#, r#""r":4294967295"#, ErrorKind::Unsupported),
        (r#""p":1"#, r#""p":4294967295"#, ErrorKind::Unsupported),
        (r#""p":1"#, r#""p":0"#, ErrorKind::Corrupt),
        (r#""p":1"#, r#""p":6"#, ErrorKind::Denied),
        (r#""p":1"#, r#""p":40"#, ErrorKind::Denied),
        (r#""data":""#, r#""data":"","x":""#, ErrorKind::Corrupt),
        (
            r#""username":"root","#,
            r#""username":7,"#,
            ErrorKind::Corrupt,
        ),
    ] {
        let broken = good.replace(from, to);
        assert_ne!(broken, good);
        assert_eq!(kind_of(&broken), kind, "{from} -> {to}");
    }
}

#[test]
fn a_master_key_of_zeros_is_refused() {
    let text = text(CHEAP);
    let file = KeyFile::decode(text.as_bytes()).unwrap();
    let zeros = MasterKey::generate(&Zeros);
    let (other, _) = KeyFile::create(
        &secret("pass"),
        &zeros,
        &owner(),
        CHEAP,
        &Repeatable::new(1),
    )
    .unwrap();
    assert!(file.open(&secret("pass")).is_ok());
    assert_eq!(
        other.open(&secret("pass")).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}

#[derive(Debug)]
struct Zeros;

impl lifeboat_model::Entropy for Zeros {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

proptest! {
    #[test]
    fn whatever_is_sealed_comes_back(
        length in prop_oneof![0usize..300, 65_500usize..65_600, 131_000usize..131_200],
        seed in any::<u64>(),
    ) {
        let entropy = Repeatable::new(seed);
        let mut plaintext = vec![0; length];
        lifeboat_model::Entropy::fill(&entropy, &mut plaintext);
        let sealed = key().seal(&plaintext, &entropy);
        prop_assert_eq!(sealed.len(), length + SEAL_OVERHEAD);
        prop_assert_eq!(&key().unseal(&sealed).unwrap(), &plaintext);
        let mut in_place = sealed.clone();
        prop_assert_eq!(&*key().unseal_in_place(&mut in_place).unwrap(), &plaintext[..]);
        let other = MasterKey::generate(&Repeatable::new(8));
        prop_assert_eq!(other.unseal(&sealed).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn a_zero_nonce_is_refused() {
    let mut sealed = key().seal(b"text", &Repeatable::new(1));
    sealed[..16].fill(0);
    assert!(
        key()
            .unseal(&sealed)
            .unwrap_err()
            .to_string()
            .contains("nonce")
    );
}

#[test]
fn keys_do_not_show_themselves() {
    assert_eq!(format!("{:?}", key()), "MasterKey(***)");
}
