//! Putting right what in a folder breaks a rule that stock restic relies on. Loses nothing.

use std::collections::HashSet;

use lifeboat_format::{BlobId, Node, NodeKind, Tree};

/// One thing that was put right.
pub(super) struct Done {
    /// The entry as it was called, for people.
    pub(super) name: String,
    pub(super) what: String,
}

/// Sorts entries, gives every one a name of its own that a file system takes, folders their tree
/// and files their list; gives what was changed.
///
/// A folder without a tree is known to be there and nothing else: it comes back empty.
pub(super) fn mend(tree: &mut Tree) -> Vec<Done> {
    let mut done = Vec::new();
    for node in &mut tree.nodes {
        mend_node(node, &mut done);
    }
    let sorted = |nodes: &[Node]| nodes.windows(2).all(|pair| pair[0].name < pair[1].name);
    if !sorted(&tree.nodes) {
        name_apart(&mut tree.nodes, &mut done);
        tree.nodes.sort_by(|a, b| a.name.cmp(&b.name));
        if done.is_empty() {
            done.push(Done {
                name: String::new(),
                what: "its entries are sorted".to_owned(),
            });
        }
    }
    done
}

fn mend_node(node: &mut Node, done: &mut Vec<Done>) {
    let name = node.shown_name();
    let mut note = |what: String| {
        let name = name.clone();
        done.push(Done { name, what });
    };
    if !node.name_is_safe() {
        node.name = safe(&node.name);
        note(format!("it is now called \"{}\"", node.shown_name()));
    }
    if node.kind == NodeKind::Dir && node.subtree.is_none() {
        node.subtree = empty_tree();
        note("it has lost its tree and comes back empty".to_owned());
    }
    if node.kind == NodeKind::File && node.content.is_none() {
        node.set_content(Vec::new());
        note("it has lost its list of blobs and comes back empty".to_owned());
    }
}

/// The name of a tree without entries; [`super::rewrite`] stores it where it is not known.
fn empty_tree() -> Option<BlobId> {
    Tree::default().encode().ok().map(|json| BlobId::of(&json))
}

fn safe(name: &[u8]) -> Vec<u8> {
    match name {
        b"" | b"." => b"_".to_vec(),
        b".." => b"__".to_vec(),
        _ => name
            .iter()
            .map(|byte| {
                if matches!(byte, b'/' | 0) {
                    b'_'
                } else {
                    *byte
                }
            })
            .collect(),
    }
}

/// Of several entries with one name the first keeps it.
fn name_apart(nodes: &mut [Node], done: &mut Vec<Done>) {
    let mut names: HashSet<Vec<u8>> = nodes.iter().map(|node| node.name.clone()).collect();
    let mut first = HashSet::new();
    for node in nodes {
        if first.insert(node.name.clone()) {
            continue;
        }
        let old = node.shown_name();
        let free = (2u64..).map(|number| {
            let mut name = node.name.clone();
            name.extend_from_slice(format!("~{number}").as_bytes());
            name
        });
        let Some(name) = free.into_iter().find(|name| !names.contains(name)) else {
            continue;
        };
        names.insert(name.clone());
        first.insert(name.clone());
        node.name = name;
        let what = format!("the second of that name is now \"{}\"", node.shown_name());
        done.push(Done { name: old, what });
    }
}
