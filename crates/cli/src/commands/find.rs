//! `lifeboat find`

use std::collections::HashMap;

use lifeboat_format::{BlobId, NodeKind, Tree};
use lifeboat_repository::{BlobReader, LockMode};
use serde::Serialize;

use crate::args::FindArguments;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::select;
use crate::tables::moment;

#[derive(Serialize)]
struct Match {
    path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    size: u64,
    mtime: String,
}

#[derive(Serialize)]
struct SnapshotMatches {
    snapshot: String,
    hits: usize,
    matches: Vec<Match>,
}

/// Finds files by name in all snapshots, newest first.
pub(crate) fn run(context: &Context, arguments: &FindArguments) -> Result<u8> {
    let patterns = Patterns::new(arguments);
    let repository = context.open()?;
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let snapshots = select::many(&repository, &[], &arguments.filter)?;
    let index = context.load_index_to_read(&repository)?;
    let reader = BlobReader::new(&repository, &index);
    let mut search = Search {
        context,
        reader,
        patterns,
        trees: HashMap::new(),
    };
    let mut found = Vec::new();
    for snapshot in snapshots.iter().rev() {
        let mut matches = Vec::new();
        search.tree(snapshot.file.tree, "", &mut matches)?;
        if matches.is_empty() {
            continue;
        }
        if !context.output.is_json() {
            let (id, time) = (snapshot.id.short(), moment(snapshot.file.time.timestamp()));
            let host = crate::tables::shown(&snapshot.file.hostname);
            context
                .output
                .tell(format!("snapshot {id} of {host} at {time}"))?;
            for hit in &matches {
                context.output.result(&hit.path)?;
            }
        }
        let (snapshot, hits) = (snapshot.id.to_string(), matches.len());
        found.push(SnapshotMatches {
            snapshot,
            hits,
            matches,
        });
    }
    if context.output.is_json() {
        context.output.json(&found)?;
    }
    Ok(0)
}

struct Search<'a> {
    context: &'a Context,
    reader: BlobReader<'a>,
    patterns: Patterns,
    /// Trees read so far: snapshots share most of them.
    trees: HashMap<BlobId, Tree>,
}

/// So many trees are remembered.
const TREES_MAX: usize = 10_000;

impl Search<'_> {
    fn tree(&mut self, id: BlobId, path: &str, matches: &mut Vec<Match>) -> Result<()> {
        crate::select::require_depth(path)?;
        if self.context.environment.cancel.is_cancelled() {
            return Err(Error::new(
                lifeboat_model::ErrorKind::Cancelled,
                "stopped on request",
            ));
        }
        if !self.trees.contains_key(&id) {
            let mut tree = self.reader.tree(&id)?;
            tree.nodes.iter_mut().for_each(|node| node.content = None);
            if self.trees.len() >= TREES_MAX {
                self.trees.clear();
            }
            self.trees.insert(id, tree);
        }
        let nodes = self
            .trees
            .get(&id)
            .map(|tree| tree.nodes.clone())
            .unwrap_or_default();
        for node in nodes {
            let name = node.shown_name();
            let path = format!("{path}/{name}");
            if self.patterns.matches(&name, &path) {
                let (kind, mtime) = (node.kind.word(), node.mtime.to_string());
                matches.push(Match {
                    path: path.clone(),
                    kind,
                    size: node.size,
                    mtime,
                });
            }
            if let (NodeKind::Dir, Some(subtree)) = (node.kind, node.subtree) {
                self.tree(subtree, &path, matches)?;
            }
        }
        Ok(())
    }
}

/// Patterns with `*` and `?`; one with a slash is for whole paths.
struct Patterns {
    list: Vec<Vec<char>>,
    is_ignoring_case: bool,
}

impl Patterns {
    fn new(arguments: &FindArguments) -> Self {
        let is_ignoring_case = arguments.ignore_case;
        let fold = |text: &String| {
            if is_ignoring_case {
                text.to_lowercase()
            } else {
                text.clone()
            }
        };
        let list = arguments
            .patterns
            .iter()
            .map(|text| fold(text).chars().collect())
            .collect();
        Self {
            list,
            is_ignoring_case,
        }
    }

    fn matches(&self, name: &str, path: &str) -> bool {
        let fold = |text: &str| -> Vec<char> {
            if self.is_ignoring_case {
                text.to_lowercase().chars().collect()
            } else {
                text.chars().collect()
            }
        };
        self.list.iter().any(|pattern| {
            let text = if pattern.contains(&'/') { path } else { name };
            fits(pattern, &fold(text))
        })
    }
}

/// Whether `text` is what `pattern` describes; linear but for the last star.
fn fits(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {

    #[test]
    fn patterns_fit_as_a_shell_fits_them() {
        let fits = |pattern: &str, text: &str| {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            super::fits(&chars(pattern), &chars(text))
        };
        for (pattern, text) in [
            ("*.raw", "vda.raw"),
            ("v?a*", "vda.raw"),
            ("*", ""),
            ("a*b*c", "axxbyyc"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("*.raw", "vda.ra"),
            ("?", ""),
            ("a", "ab"),
            ("a*b*c", "axxbyy"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
