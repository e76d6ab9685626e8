//! Reading a tree.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::quote::unquote;
use super::{ExtendedAttribute, Node, NodeKind, Tree};
use crate::{BlobId, Error, GoTime, Result};

#[derive(Deserialize)]
struct TreeJson<'a> {
    #[serde(borrow)]
    nodes: Option<Vec<NodeJson<'a>>>,
}

#[derive(Deserialize)]
struct NodeJson<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    mode: u32,
    #[serde(default)]
    mtime: GoTime,
    #[serde(default)]
    atime: GoTime,
    #[serde(default)]
    ctime: GoTime,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(default)]
    user: String,
    #[serde(default)]
    group: String,
    #[serde(default)]
    inode: u64,
    #[serde(default)]
    device_id: u64,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    links: u64,
    #[serde(default)]
    linktarget: String,
    #[serde(default)]
    linktarget_raw: Option<String>,
    #[serde(default)]
    extended_attributes: Option<Vec<AttributeJson>>,
    #[serde(default)]
    generic_attributes: Option<BTreeMap<String, Box<RawValue>>>,
    #[serde(default)]
    device: u64,
    #[serde(default)]
    content: Option<Vec<BlobId>>,
    #[serde(default)]
    subtree: Option<BlobId>,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct AttributeJson {
    name: String,
    value: Option<String>,
}

impl Tree {
    /// Reads the JSON; keys that restic does not know are passed over.
    ///
    /// Order and names are not judged here: `check` does that.
    ///
    /// Errors: `Corrupt`.
    ///
    /// Cost: one pass; 32 bytes a blob.
    pub fn decode(json: &[u8]) -> Result<Self> {
        let tree: TreeJson<'_> =
            serde_json::from_slice(json).map_err(|e| Error::json("a tree", e))?;
        let nodes = tree.nodes.unwrap_or_default().into_iter().map(node);
        Ok(Self {
            nodes: nodes.collect::<Result<_>>()?,
        })
    }
}

fn node(json: NodeJson<'_>) -> Result<Node> {
    let name = unquote(&json.name)
        .ok_or_else(|| Error::corrupt(format!("a tree holds the broken name {:?}", json.name)))?;
    let kind = NodeKind::ALL.iter().find(|(_, word)| *word == json.kind);
    let linktarget_raw = json.linktarget_raw.map(|text| bytes(&text)).transpose()?;
    let attributes = json
        .extended_attributes
        .unwrap_or_default()
        .into_iter()
        .map(|attribute| {
            let value = attribute.value.map(|text| bytes(&text)).transpose()?;
            Ok(ExtendedAttribute {
                name: attribute.name,
                value,
            })
        });
    Ok(Node {
        name,
        kind: kind.map_or(NodeKind::Irregular, |(kind, _)| *kind),
        mode: json.mode,
        mtime: json.mtime,
        atime: json.atime,
        ctime: json.ctime,
        uid: json.uid,
        gid: json.gid,
        user: json.user,
        group: json.group,
        inode: json.inode,
        device_id: json.device_id,
        size: json.size,
        links: json.links,
        linktarget: json.linktarget,
        linktarget_raw,
        extended_attributes: attributes.collect::<Result<_>>()?,
        generic_attributes: json.generic_attributes.unwrap_or_default(),
        device: json.device,
        content: json.content,
        subtree: json.subtree,
        error: json.error,
    })
}

fn bytes(text: &str) -> Result<Vec<u8>> {
    STANDARD
        .decode(text)
        .map_err(|_| Error::corrupt("an attribute in a tree is not base64"))
}
