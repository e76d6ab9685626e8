//! `lifeboat ls`

use lifeboat_format::{BlobId, Node, NodeKind};
use lifeboat_repository::{BlobReader, LockMode};
use serde::Serialize;

use crate::args::LsArguments;
use crate::context::Context;
use crate::error::Result;
use crate::select;
use crate::tables::{moment, shown};

/// A node as restic prints it.
#[derive(Serialize)]
struct NodeLine<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    path: &'a str,
    uid: u32,
    gid: u32,
    size: u64,
    mode: u32,
    mtime: String,
}

#[derive(Serialize)]
struct SnapshotLine<'a> {
    id: String,
    short_id: String,
    time: String,
    tree: String,
    hostname: &'a str,
    paths: &'a [String],
    tags: &'a [String],
}

/// Lists the files of a snapshot.
pub(crate) fn run(context: &Context, arguments: &LsArguments) -> Result<u8> {
    let repository = context.open()?;
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let snapshot = select::one(context, &repository, &arguments.snapshot, &arguments.point)?;
    let index = context.load_index_to_read(&repository)?;
    let file = &snapshot.file;
    if context.output.is_json() {
        let line = SnapshotLine {
            id: snapshot.id.to_string(),
            short_id: snapshot.id.short(),
            time: file.time.to_string(),
            tree: file.tree.to_string(),
            hostname: &file.hostname,
            paths: &file.paths,
            tags: &file.tags,
        };
        context.output.message("snapshot", &line)?;
    } else {
        let (id, time) = (snapshot.id.short(), moment(file.time.timestamp()));
        context.output.tell(format!(
            "snapshot {id} of {} at {time}",
            shown(&file.hostname)
        ))?;
    }
    let wanted = arguments
        .below
        .as_deref()
        .map(|path| format!("/{}", path.trim_matches('/')));
    let reader = BlobReader::new(&repository, &index);
    let mut walk = Walk {
        context,
        reader,
        is_long: arguments.long,
        wanted,
    };
    walk.tree(&file.tree, "")?;
    Ok(0)
}

struct Walk<'a> {
    context: &'a Context,
    reader: BlobReader<'a>,
    is_long: bool,
    wanted: Option<String>,
}

impl Walk<'_> {
    fn tree(&mut self, tree: &BlobId, path: &str) -> Result<()> {
        select::require_depth(path)?;
        for node in self.reader.tree(tree)?.nodes {
            let path = format!("{path}/{}", node.shown_name());
            if self.is_wanted(&path) {
                self.show(&node, &path)?;
            }
            match (node.kind, node.subtree) {
                (NodeKind::Dir, Some(subtree)) if self.leads_on(&path) => {
                    self.tree(&subtree, &path)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_wanted(&self, path: &str) -> bool {
        let is_below = |wanted: &String| {
            path == wanted
                || path
                    .strip_prefix(wanted)
                    .is_some_and(|rest| rest.starts_with('/'))
        };
        self.wanted.as_ref().is_none_or(is_below)
    }

    fn leads_on(&self, path: &str) -> bool {
        let leads = |wanted: &String| wanted.starts_with(&format!("{path}/"));
        self.is_wanted(path) || self.wanted.as_ref().is_some_and(leads)
    }

    fn show(&self, node: &Node, path: &str) -> Result<()> {
        let output = self.context.output;
        if output.is_json() {
            let name = node.shown_name();
            return output.message(
                "node",
                &NodeLine {
                    name: &name,
                    kind: node.kind.word(),
                    path,
                    uid: node.uid,
                    gid: node.gid,
                    size: node.size,
                    mode: node.mode,
                    mtime: node.mtime.to_string(),
                },
            );
        }
        if !self.is_long {
            return output.result(path);
        }
        let time = moment(node.mtime.timestamp());
        let target = if node.linktarget.is_empty() {
            String::new()
        } else {
            format!(" -> {}", shown(&node.linktarget))
        };
        output.result(format!(
            "{} {:>5} {:>5} {:>13} {time} {path}{target}",
            mode_text(node),
            node.uid,
            node.gid,
            node.size,
        ))
    }
}

/// `drwxr-xr-x`
fn mode_text(node: &Node) -> String {
    let kind = match node.kind {
        NodeKind::Dir => 'd',
        NodeKind::Symlink => 'l',
        NodeKind::BlockDevice => 'b',
        NodeKind::CharDevice => 'c',
        NodeKind::Fifo => 'p',
        NodeKind::Socket => 's',
        NodeKind::File | NodeKind::Irregular => '-',
    };
    let bits = (0..9).rev().map(|bit| {
        let letter = ['x', 'w', 'r'][bit % 3];
        if node.mode >> bit & 1 == 1 {
            letter
        } else {
            '-'
        }
    });
    std::iter::once(kind).chain(bits).collect()
}
