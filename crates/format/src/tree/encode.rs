//! Writing a tree.

use lifeboat_model::ErrorKind;

use super::quote::quote;
use super::{Node, NodeKind, TextPlace, Tree};
use crate::json::{write_base64, write_ids, write_number, write_string};
use crate::{BlobId, Error, GoTime, Result};

/// JSON bytes of one id and its comma and quotation marks.
const ID_BYTES: usize = 67;

impl Tree {
    /// Writes the JSON that restic would write.
    ///
    /// Errors: `Invalid` if nodes are not sorted by name or two have the same; a file without a
    /// content list.
    ///
    /// Cost: one buffer, 67 bytes a blob.
    pub fn encode(&self) -> Result<Vec<u8>> {
        if let Some(pair) = self
            .nodes
            .windows(2)
            .find(|pair| pair[0].name >= pair[1].name)
        {
            let name = pair[1].shown_name();
            let doing = format!("cannot write a tree: \"{name}\" is out of order or there twice");
            return Err(Error::new(ErrorKind::Invalid, doing));
        }
        let blobs: usize = self.nodes.iter().map(|node| node.content_ids().len()).sum();
        let mut json = Vec::with_capacity(16 + self.nodes.len() * 512 + blobs * ID_BYTES);
        json.extend_from_slice(b"{\"nodes\":[");
        for (number, node) in self.nodes.iter().enumerate() {
            if number > 0 {
                json.push(b',');
            }
            encode_node(node, &mut json)?;
        }
        json.extend_from_slice(b"]}\n");
        Ok(json)
    }
}

fn encode_node(node: &Node, json: &mut Vec<u8>) -> Result<()> {
    if node.kind == NodeKind::File && node.content.is_none() {
        let doing = format!(
            "cannot write a tree: file \"{}\" has no content",
            node.shown_name()
        );
        return Err(Error::new(ErrorKind::Invalid, doing));
    }
    json.extend_from_slice(b"{\"name\":");
    write_string(json, &quote(&node.name));
    json.extend_from_slice(b",\"type\":\"");
    json.extend_from_slice(node.kind.word().as_bytes());
    json.push(b'"');
    push_inode(json, node);
    push_target(json, node);
    push_attributes(json, node);
    push_number(json, b",\"device\":", node.device);
    json.extend_from_slice(b",\"content\":");
    match &node.content {
        Some(ids) => write_ids(json, ids.iter().map(BlobId::id)),
        None => json.extend_from_slice(b"null"),
    }
    if let Some(subtree) = &node.subtree {
        json.extend_from_slice(b",\"subtree\":\"");
        json.extend_from_slice(&subtree.id().to_hex());
        json.push(b'"');
    }
    push_text(
        json,
        b",\"error\":",
        node.written_bytes(TextPlace::Error, &node.error),
    );
    json.push(b'}');
    Ok(())
}

fn push_inode(json: &mut Vec<u8>, node: &Node) {
    push_number(json, b",\"mode\":", u64::from(node.mode));
    push_time(json, b",\"mtime\":\"", node.mtime);
    push_time(json, b",\"atime\":\"", node.atime);
    push_time(json, b",\"ctime\":\"", node.ctime);
    json.extend_from_slice(b",\"uid\":");
    write_number(json, u64::from(node.uid));
    json.extend_from_slice(b",\"gid\":");
    write_number(json, u64::from(node.gid));
    push_text(
        json,
        b",\"user\":",
        node.written_bytes(TextPlace::User, &node.user),
    );
    push_text(
        json,
        b",\"group\":",
        node.written_bytes(TextPlace::Group, &node.group),
    );
    push_number(json, b",\"inode\":", node.inode);
    push_number(json, b",\"device_id\":", node.device_id);
    push_number(json, b",\"size\":", node.size);
    push_number(json, b",\"links\":", node.links);
}

/// The raw bytes decide: the text follows from them.
fn push_target(json: &mut Vec<u8>, node: &Node) {
    let Some(raw) = node.linktarget_raw.as_ref().filter(|raw| !raw.is_empty()) else {
        return push_text(
            json,
            b",\"linktarget\":",
            node.written_bytes(TextPlace::LinkTarget, &node.linktarget),
        );
    };
    json.extend_from_slice(b",\"linktarget\":");
    write_string(json, raw);
    if std::str::from_utf8(raw).is_err() {
        json.extend_from_slice(b",\"linktarget_raw\":");
        write_base64(json, Some(raw));
    }
}

fn push_attributes(json: &mut Vec<u8>, node: &Node) {
    for (number, attribute) in node.extended_attributes.iter().enumerate() {
        let begin: &[u8] = if number == 0 {
            b",\"extended_attributes\":[{\"name\":"
        } else {
            b",{\"name\":"
        };
        json.extend_from_slice(begin);
        write_string(
            json,
            node.written_bytes(TextPlace::Attribute(number), &attribute.name),
        );
        json.extend_from_slice(b",\"value\":");
        write_base64(json, attribute.value.as_deref());
        json.push(b'}');
    }
    if !node.extended_attributes.is_empty() {
        json.push(b']');
    }
    for (number, (key, value)) in node.generic_attributes.iter().enumerate() {
        let begin: &[u8] = if number == 0 {
            b",\"generic_attributes\":{"
        } else {
            b","
        };
        json.extend_from_slice(begin);
        write_string(json, key.as_bytes());
        json.push(b':');
        json.extend_from_slice(value.get().as_bytes());
    }
    if !node.generic_attributes.is_empty() {
        json.push(b'}');
    }
}

fn push_time(json: &mut Vec<u8>, key: &[u8], time: GoTime) {
    json.extend_from_slice(key);
    time.write(json);
    json.push(b'"');
}

fn push_number(json: &mut Vec<u8>, key: &[u8], number: u64) {
    if number != 0 {
        json.extend_from_slice(key);
        write_number(json, number);
    }
}

fn push_text(json: &mut Vec<u8>, key: &[u8], text: &[u8]) {
    if !text.is_empty() {
        json.extend_from_slice(key);
        write_string(json, text);
    }
}
