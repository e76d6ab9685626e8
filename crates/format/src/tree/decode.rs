//! Reading a tree.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::quote::unquote;
use super::{DecodedTree, ExtendedAttribute, Node, NodeKind, TextPlace, Tree};
use crate::json::{Read, Reader};
use crate::{Error, GoTime, Result};

impl Tree {
    /// Reads the JSON; keys that restic does not know are passed over.
    ///
    /// Order and names are not judged here: `check` does that.
    ///
    /// Errors: `Corrupt`.
    ///
    /// Cost: one pass; 32 bytes a blob.
    pub fn decode(json: &[u8]) -> Result<Self> {
        Self::decode_with_oddities(json).map(|decoded| decoded.tree)
    }

    /// Reads the JSON and says what is odd about it.
    ///
    /// Errors and cost: as [`decode`](Self::decode).
    pub fn decode_with_oddities(json: &[u8]) -> Result<DecodedTree> {
        let mut decoded = DecodedTree::default();
        let mut reader = Reader::new(json);
        decoded
            .read(&mut reader)
            .and_then(|()| reader.end())
            .map_err(|malformed| Error::malformed("a tree", malformed))?;
        let nodes = &decoded.tree.nodes;
        decoded.is_unsorted = nodes.windows(2).any(|pair| pair[0].name >= pair[1].name);
        Ok(decoded)
    }
}

impl DecodedTree {
    fn read(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        if reader.peek() != Some(b'{') {
            return Err(reader.malformed("an object"));
        }
        let mut has_nodes = false;
        reader.object(|reader, key| {
            if key != b"nodes" {
                self.has_unknown_parts = true;
                return reader.skip().map(|_| ());
            }
            has_nodes = true;
            reader.array(|reader| {
                let node = self.read_node(reader)?;
                self.tree.nodes.push(node);
                Ok(())
            })
        })?;
        if has_nodes {
            Ok(())
        } else {
            Err(reader.malformed("a list of nodes up to here"))
        }
    }

    fn read_node(&mut self, reader: &mut Reader<'_>) -> Read<Node> {
        let mut node = Node::new(b"", NodeKind::Irregular);
        let (mut has_name, mut has_kind) = (false, false);
        reader.object(|reader, key| {
            if reader.null() {
                return Ok(());
            }
            match key {
                b"name" => {
                    node.name = read_name(reader)?;
                    has_name = true;
                }
                b"type" => {
                    let word = reader.string()?;
                    let known = NodeKind::of_word(&word);
                    (has_kind, node.kind) = (true, known.unwrap_or(NodeKind::Irregular));
                    self.has_unknown_parts |= known.is_none();
                }
                b"extended_attributes" => self.read_attributes(reader, &mut node)?,
                b"generic_attributes" => node.generic_attributes = read_generic(reader)?,
                b"content" => node.content = reader.ids()?,
                b"subtree" => node.subtree = Some(reader.id()?.into()),
                _ => self.has_unknown_parts |= !read_plain(reader, key, &mut node)?,
            }
            Ok(())
        })?;
        if has_name && has_kind {
            Ok(node)
        } else {
            Err(reader.malformed("a node with a name and a type up to here"))
        }
    }

    fn read_attributes(&mut self, reader: &mut Reader<'_>, node: &mut Node) -> Read<()> {
        reader.array(|reader| {
            let place = TextPlace::Attribute(node.extended_attributes.len());
            let mut attribute = ExtendedAttribute {
                name: String::new(),
                value: None,
            };
            reader.object(|reader, key| {
                match key {
                    b"name" => attribute.name = read_text(reader, node, place)?,
                    b"value" => attribute.value = reader.base64()?,
                    _ => {
                        self.has_unknown_parts = true;
                        reader.skip()?;
                    }
                }
                Ok(())
            })?;
            node.extended_attributes.push(attribute);
            Ok(())
        })
    }
}

/// Reads numbers, times and texts; says no and passes the value when it knows no such key.
fn read_plain(reader: &mut Reader<'_>, key: &[u8], node: &mut Node) -> Read<bool> {
    match key {
        b"mode" => node.mode = reader.number32()?,
        b"mtime" => node.mtime = read_time(reader)?,
        b"atime" => node.atime = read_time(reader)?,
        b"ctime" => node.ctime = read_time(reader)?,
        b"uid" => node.uid = reader.number32()?,
        b"gid" => node.gid = reader.number32()?,
        b"user" => node.user = read_text(reader, node, TextPlace::User)?,
        b"group" => node.group = read_text(reader, node, TextPlace::Group)?,
        b"inode" => node.inode = reader.number()?,
        b"device_id" => node.device_id = reader.number()?,
        b"size" => node.size = reader.number()?,
        b"links" => node.links = reader.number()?,
        b"linktarget" => node.linktarget = read_text(reader, node, TextPlace::LinkTarget)?,
        b"linktarget_raw" => node.linktarget_raw = reader.base64()?,
        b"device" => node.device = reader.number()?,
        b"error" => node.error = read_text(reader, node, TextPlace::Error)?,
        _ => {
            reader.skip()?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn read_name(reader: &mut Reader<'_>) -> Read<Vec<u8>> {
    let quoted = reader.string()?;
    unquote(&quoted).ok_or_else(|| reader.malformed("a name that was quoted soundly up to here"))
}

/// Reads a text and remembers where its writer lost bytes.
fn read_text(reader: &mut Reader<'_>, node: &mut Node, place: TextPlace) -> Read<String> {
    match String::from_utf8(reader.lossy_string()?) {
        Ok(text) => Ok(text),
        Err(error) => {
            let bytes = error.into_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            node.lossy_texts.insert(place, bytes);
            Ok(text)
        }
    }
}

fn read_time(reader: &mut Reader<'_>) -> Read<GoTime> {
    let text = reader.string()?;
    GoTime::parse(&text).ok_or_else(|| reader.malformed("a time up to here"))
}

fn read_generic(reader: &mut Reader<'_>) -> Read<BTreeMap<String, Box<RawValue>>> {
    let mut attributes = BTreeMap::new();
    reader.object(|reader, key| {
        let broken = "an attribute in JSON up to here";
        let text = String::from_utf8(reader.skip()?.to_vec());
        let value = text.ok().and_then(|text| RawValue::from_string(text).ok());
        let value = value.ok_or_else(|| reader.malformed(broken))?;
        attributes.insert(String::from_utf8_lossy(key).into_owned(), value);
        Ok(())
    })?;
    Ok(attributes)
}
