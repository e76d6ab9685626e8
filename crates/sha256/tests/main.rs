//! Digests of many messages are those of each alone.

use lifeboat_sha256::{digest, digest_all};
use proptest::prelude::*;

/// The published examples of FIPS 180-4: the empty message, one block, two blocks.
#[test]
fn published_examples_come_out() {
    let examples = [
        (
            "",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            "abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
    ];
    let hex = |digest: &[u8; 32]| {
        digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    for (message, expected) in examples {
        assert_eq!(hex(&digest(message.as_bytes())), expected);
        let many = vec![message.as_bytes(); 33];
        for digest in digest_all(&many) {
            assert_eq!(hex(&digest), expected, "{message:?} among many");
        }
    }
}

/// Every length around a block and its padding, all in one call.
#[test]
fn every_short_length_is_padded_right() {
    let bytes: Vec<u8> = (0..300_u32).map(|index| (index * 7) as u8).collect();
    let messages: Vec<&[u8]> = (0..300).map(|length| &bytes[..length]).collect();
    for (message, found) in messages.iter().zip(digest_all(&messages)) {
        assert_eq!(found, digest(message), "length {}", message.len());
    }
}

proptest! {
    #[test]
    fn many_are_hashed_as_each_alone(
        lengths in prop::collection::vec(prop_oneof![0..200_usize, 0..20_000_usize], 0..70),
        seed in any::<u8>(),
    ) {
        let bytes: Vec<u8> = (0..20_000_u32)
            .map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed)
            .collect();
        let messages: Vec<&[u8]> = lengths.iter().map(|length| &bytes[20_000 - length..]).collect();
        let found = digest_all(&messages);
        prop_assert_eq!(found.len(), messages.len());
        for (message, found) in messages.iter().zip(found) {
            prop_assert_eq!(found, digest(message));
        }
    }
}
