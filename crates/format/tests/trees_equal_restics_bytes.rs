//! Trees are written as restic writes them, and read whoever wrote them.

use jiff::Timestamp;
use lifeboat_format::{BlobId, ExtendedAttribute, Node, NodeKind, Tree};
use lifeboat_model::{ErrorKind, Id};
use proptest::prelude::*;

fn named(name: &[u8]) -> Node {
    let mut node = Node::new(name, NodeKind::File);
    (node.mode, node.links) = (0o600, 1);
    node.set_content(Vec::new());
    node
}

fn encode(nodes: Vec<Node>) -> String {
    String::from_utf8(Tree { nodes }.encode().unwrap()).unwrap()
}

/// A tree of one file whose name stands in JSON as given.
fn with_name_text(text: &str) -> String {
    encode(vec![named(b"NAME")]).replace("NAME", text)
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..6),
        any::<char>().prop_map(|c| c.to_string().into_bytes()),
        "[\\\\\"a-z<>&'\u{0}-\u{1f}]{1,5}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 1..8)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("a file name", |name| named(name).name_is_safe())
}

fn attributes() -> impl Strategy<Value = Vec<(String, Option<[u8; 3]>)>> {
    prop::collection::vec(("[ -~é\u{fffd}]{0,9}", any::<Option<[u8; 3]>>()), 0..3)
}

proptest! {
    #[test]
    fn any_name_comes_back(name in names()) {
        let text = encode(vec![named(&name)]);
        let decoded = Tree::decode_with_oddities(text.as_bytes()).unwrap();
        prop_assert_eq!(&decoded.tree.nodes[0].name, &name);
        prop_assert!(!decoded.is_unsorted && !decoded.has_unknown_parts);
    }

    #[test]
    fn any_node_comes_back(
        numbers in any::<(u32, u32, u32, u64, u64, u64, u64, u64)>(),
        target in prop::collection::vec(any::<u8>(), 0..20),
        owner in "\\PC{0,9}",
        seconds in -62_000_000_000i64..250_000_000_000,
        content in prop::option::of(prop::collection::vec(any::<[u8; 32]>(), 0..5)),
        attributes in attributes(),
    ) {
        let mut node = Node::new(b"n", NodeKind::Symlink);
        (node.mode, node.mtime) = (numbers.0, Timestamp::new(seconds, 0).unwrap().into());
        (node.uid, node.gid) = (numbers.1, numbers.2);
        (node.inode, node.device_id, node.size) = (numbers.3, numbers.4, numbers.5);
        (node.links, node.device) = (numbers.6, numbers.7);
        node.linktarget = String::from_utf8_lossy(&target).into_owned();
        if String::from_utf8(target.clone()).is_err() {
            node.linktarget_raw = Some(target);
        }
        node.user = owner.clone();
        node.group = owner.clone();
        node.error = owner;
        node.content = content.map(|ids| ids.into_iter().map(|id| Id(id).into()).collect());
        node.subtree = node.content.as_ref().map(|_| BlobId::of(b"tree"));
        let generic = r#"{"a":[1,"}"]}"#.to_owned();
        let generic = serde_json::value::RawValue::from_string(generic).unwrap();
        node.generic_attributes.insert("windows.x".into(), generic);
        let attribute = |(name, value): (String, Option<[u8; 3]>)| ExtendedAttribute {
            name,
            value: value.map(|bytes| bytes.to_vec()),
        };
        node.extended_attributes = attributes.into_iter().map(attribute).collect();
        let text = encode(vec![node.clone()]);
        let decoded = Tree::decode(text.as_bytes()).unwrap();
        let again = &decoded.nodes[0];
        prop_assert_eq!(&again.content, &node.content);
        prop_assert_eq!(&again.linktarget_raw, &node.linktarget_raw);
        prop_assert_eq!(&again.extended_attributes, &node.extended_attributes);
        prop_assert_eq!((&again.user, again.mtime), (&node.user, node.mtime));
        prop_assert_eq!(encode(decoded.nodes), text);
    }
}

/// Two texts may look alike although only one has lost a byte.
#[test]
fn a_real_replacement_character_stays_beside_a_lost_byte() {
    let mut node = Node::new(b"n", NodeKind::Symlink);
    node.linktarget = "\u{fffd}".to_owned();
    node.linktarget_raw = Some(vec![128]);
    node.extended_attributes = vec![ExtendedAttribute {
        name: "\u{fffd}".to_owned(),
        value: None,
    }];
    let text = encode(vec![node]);
    assert_eq!(encode(Tree::decode(text.as_bytes()).unwrap().nodes), text);
}

#[test]
fn the_empty_tree_is_the_known_one() {
    assert_eq!(encode(Vec::new()), "{\"nodes\":[]}\n");
    let known = "ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8";
    assert_eq!(BlobId::of(encode(Vec::new()).as_bytes()).to_string(), known);
}

#[test]
fn names_are_sorted_and_unique_when_written() {
    let refused = |names: &[&[u8]]| {
        let nodes = names.iter().map(|name| named(name)).collect();
        Tree { nodes }.encode().map_err(|error| error.kind()) == Err(ErrorKind::Invalid)
    };
    assert!(!refused(&[b"A", b"a", b"a\x01", b"b", b"\xff"]));
    assert!(refused(&[b"b", b"a"]));
    assert!(refused(&[b"a", b"a"]));
    for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b"] {
        assert!(!named(name).name_is_safe(), "{}", name.escape_ascii());
    }
    let nodes = vec![Node::new(b"a", NodeKind::File)];
    let error = Tree { nodes }.encode().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "a file has a list");
}

/// Go writes a byte that is not UTF-8 as `\ufffd`, and the character U+FFFD as itself.
#[test]
fn lost_bytes_are_told_from_the_character_that_stands_for_them() {
    let text = encode(vec![named(b"a")]);
    for user in [r"a\ufffd", "a\u{fffd}", "\u{fffd}\\ufffd\u{fffd}"] {
        let text = text.replace("\"gid\":0", &format!("\"gid\":0,\"user\":\"{user}\""));
        let mut tree = Tree::decode(text.as_bytes()).unwrap();
        let expected = user.replace("\\ufffd", "\u{fffd}");
        assert_eq!(tree.nodes[0].user, expected);
        assert_eq!(encode(tree.nodes.clone()), text);
        tree.nodes[0].user = "plain".into();
        assert!(encode(tree.nodes).contains("\"plain\""));
    }
}

#[test]
fn oddities_of_others_are_read_and_told() {
    let text = encode(vec![named(b"a"), named(b"b")]);
    let read = |text: &str| Tree::decode_with_oddities(text.as_bytes()).unwrap();
    let swapped = text.replace("\"a\"", "\"c\"");
    assert!(read(&swapped).is_unsorted);
    assert!(read(&text.replace("\"b\"", "\"a\"")).is_unsorted);
    assert!(read(&text.replacen("\"uid\"", "\"new\":[{}],\"uid\"", 1)).has_unknown_parts);
    assert!(read(&text.replacen("{", "{\"version\":3,", 1)).has_unknown_parts);
    let kind = read(&text.replacen("\"file\"", "\"portal\"", 1));
    assert!(kind.has_unknown_parts);
    assert_eq!(kind.tree.nodes[0].kind, NodeKind::Irregular);
    assert_eq!(
        read(&text.replace("[]", "null")).tree.nodes[0].content,
        None
    );
    assert!(!read(&with_name_text("..")).tree.nodes[0].name_is_safe());
    assert!(read("{\"nodes\":null}").tree.nodes.is_empty());
    let spaced = text.replace(',', " ,\n\t").replace(':', " : ");
    let spaced = spaced.replace("00 : 00 : 00", "00:00:00");
    assert_eq!(encode(read(&spaced).tree.nodes), text);
}

#[test]
fn quoted_names_follow_gos_rules() {
    for (text, name) in [
        (
            r#"a\\x41\\101\\u00e9\\U0001f600"#,
            "aAA\u{e9}\u{1f600}".as_bytes(),
        ),
        (
            r#"\\a\\b\\f\\n\\r\\t\\v\\\\\\\""#,
            b"\x07\x08\x0c\n\r\t\x0b\\\"",
        ),
        (
            r#"\\xff\u00e9\ud83d\ude00"#,
            b"\xff\xc3\xa9\xf0\x9f\x98\x80",
        ),
        (r#"'\/"#, b"'/"),
        (r#"\ufffd\ud800x"#, "\u{fffd}\u{fffd}x".as_bytes()),
        (r#"\u0001"#, b"\x01"),
    ] {
        let decoded = Tree::decode(with_name_text(text).as_bytes()).unwrap();
        assert_eq!(decoded.nodes[0].name, name, "{text}");
    }
    for text in [
        r#"\\"#,
        r#"\\x4"#,
        r#"\\xg1"#,
        r#"\\400"#,
        r#"\\08"#,
        r#"\\ud800"#,
        r#"\\U00110000"#,
        r#"\\q"#,
        r#"\\'"#,
        r#"\""#,
        r#"\n"#,
        r#"\\u12"#,
        r#"\x41"#,
        r#"\u12"#,
    ] {
        let tree = with_name_text(text);
        let error = Tree::decode(tree.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{text}");
    }
}

#[test]
fn broken_trees_are_corrupt() {
    let text = encode(vec![named(b"a")]);
    for (from, to) in [
        ("\"name\":\"a\",", ""),
        ("\"content\":[]", "\"content\":[\"abc\"]"),
        ("\"content\":[]", "\"content\":{}"),
        ("\"uid\":0", "\"uid\":4294967296"),
        ("\"uid\":0", "\"uid\":-1"),
        ("\"uid\":0", "\"uid\":\"0\""),
        ("0001-01-01", "0001-13-01"),
        ("{\"nodes\":", "{\"knots\":"),
        ("]}\n", "]}\n{}"),
        ("\"mode\":384", "\"subtree\":\"\""),
    ] {
        let broken = text.replace(from, to);
        assert_ne!(broken, text, "{from}");
        let error = Tree::decode(broken.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{from} -> {to}");
    }
}
