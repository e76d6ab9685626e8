//! The config is read in every version we know and never loses what others put there.

use lifeboat_format::{ConfigFile, Settings, is_irreducible};
use lifeboat_model::ErrorKind;

use crate::sandbox::{Repeatable, key};

const SETTINGS: Settings = Settings {
    chunk_size_min: 65_536,
    chunk_size_gap: 1 << 20,
    chunk_size_max: 8 << 20,
    pack_size: 64 << 20,
};

fn decode(json: &str) -> lifeboat_format::Result<ConfigFile> {
    ConfigFile::decode(&key().seal(json.as_bytes(), &Repeatable::new(1)), &key())
}

fn json(version: u32, polynomial: &str, more: &str) -> String {
    let id = "a".repeat(64);
    format!(r#"{{"version":{version},"id":"{id}","chunker_polynomial":"{polynomial}"{more}}}"#)
}

#[test]
fn a_new_config_comes_back() {
    for settings in [None, Some(SETTINGS)] {
        let mut config = ConfigFile::create(&Repeatable::new(5));
        config.settings = settings;
        assert_eq!(config.version, 2);
        assert_eq!(config.chunker_polynomial.ilog2(), 53);
        let sealed = config.encode(&key(), &Repeatable::new(6)).unwrap();
        assert_eq!(ConfigFile::decode(&sealed, &key()).unwrap(), config);
    }
}

#[test]
fn it_is_plain_json_in_restics_order() {
    let config = ConfigFile::create(&Repeatable::new(5));
    let sealed = config.encode(&key(), &Repeatable::new(6)).unwrap();
    let text = String::from_utf8(key().unseal(&sealed).unwrap()).unwrap();
    let expected = format!(
        r#"{{"version":2,"id":"{}","chunker_polynomial":"{:x}"}}"#,
        config.id, config.chunker_polynomial
    );
    assert_eq!(text, expected);
}

#[test]
fn keys_of_others_stay() {
    let config = decode(&json(
        2,
        "3da3358b4dc173",
        r#","chunker":"rabin","append_only":true"#,
    ))
    .unwrap();
    let sealed = config.encode(&key(), &Repeatable::new(6)).unwrap();
    let again = ConfigFile::decode(&sealed, &key()).unwrap();
    assert_eq!(again.other["chunker"], "rabin");
    assert_eq!(again.other["append_only"], true);
}

#[test]
fn versions_are_told_apart() {
    let old = decode(&json(1, "3da3358b4dc173", "")).unwrap();
    let error = old.encode(&key(), &Repeatable::new(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let newer = decode(&json(3, "3da3358b4dc173", "")).unwrap_err();
    assert_eq!(newer.kind(), ErrorKind::Unsupported);
    assert!(newer.to_string().contains("newer"), "{newer}");
}

#[test]
fn a_config_that_restic_refuses_is_refused() {
    for polynomial in ["", "0", "1", "3da3358b4dc172", "zz", "fffffffffffffffff"] {
        let error = decode(&json(2, polynomial, "")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{polynomial}");
    }
    let short_id = json(2, "3da3358b4dc173", "").replace("aa", "a");
    assert_eq!(decode(&short_id).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(decode("{}").unwrap_err().kind(), ErrorKind::Corrupt);
}

/// Irreducible: drawn and stored by real restic, and the one in its documents.
/// Refused: another degree, products, squares, and neighbours with an even number of terms.
#[test]
fn irreducible_polynomials_are_told_apart() {
    for polynomial in [0x3d25a84d461b5b, 0x3da3358b4dc173] {
        assert!(is_irreducible(polynomial), "{polynomial:#x}");
    }
    let square = 0b101;
    for polynomial in [
        0,
        1,
        0b111,
        0b100,
        square,
        0x3d25a84d461b5a,
        0x3da3358b4dc171,
        1 << 53,
        u64::MAX,
    ] {
        assert!(!is_irreducible(polynomial), "{polynomial:#x}");
    }
}
