//! What `onedatastore show` prints with `-x` and `-j`.

use roxmltree::{Document, Node};
use serde_json::Value;

use super::super::draft::Draft;
use super::super::lines::Line;
use super::super::located::{Located, escaped};

/// The root of the document, and of each of several.
const ROOT: &str = "DATASTORE";
/// Limit: elements inside each other.
const DEPTH_MAX: usize = 16;
const NEXT: Option<&str> = Some("write one with: onedatastore show -x ID");

/// An attribute, where it begins, and whether it stands in the part that people write.
struct Found {
    line: Line,
    is_template: bool,
}

pub(super) fn of_xml(draft: &mut Draft<'_>) -> Vec<Line> {
    let source = draft.source;
    let document = match Document::parse(&source.text) {
        Ok(document) => document,
        Err(error) => {
            let pos = error.pos();
            let lines = source.text.split_inclusive('\n').take(pos.row as usize - 1);
            let at = lines.map(str::len).sum::<usize>() + pos.col as usize - 1;
            draft.refuse(at, &format!("it is no XML: {error}"), NEXT);
            return Vec::new();
        }
    };
    let root = document.root_element();
    if !root.has_tag_name(ROOT) {
        let message = format!("it is <{}>, and not one <{ROOT}>", root.tag_name().name());
        draft.refuse(root.range().start, &message, NEXT);
        return Vec::new();
    }
    let mut found = Vec::new();
    for node in root.children().filter(Node::is_element) {
        let is_template = node.has_tag_name("TEMPLATE");
        let path = if is_template {
            ""
        } else {
            node.tag_name().name()
        };
        if let Err(at) = walk_xml(node, path, is_template, &mut found) {
            draft.refuse(at, "it is nested too deep for a datastore", NEXT);
            return Vec::new();
        }
    }
    joined(found)
}

/// Errors: where it is too deep.
fn walk_xml(
    node: Node<'_, '_>,
    path: &str,
    is_template: bool,
    found: &mut Vec<Found>,
) -> Result<(), usize> {
    if path.matches('/').count() > DEPTH_MAX {
        return Err(node.range().start);
    }
    let mut is_leaf = true;
    for child in node.children().filter(Node::is_element) {
        is_leaf = false;
        let name = child.tag_name().name();
        walk_xml(child, &below(path, name), is_template, found)?;
    }
    if is_leaf && !path.is_empty() {
        let text = node
            .descendants()
            .filter(Node::is_text)
            .filter_map(|it| it.text());
        let value = text.collect::<String>().trim().to_owned();
        let (at, key) = (node.range().start, path.to_owned());
        let line = Line { at, key, value };
        found.push(Found { line, is_template });
    }
    Ok(())
}

pub(super) fn of_json(draft: &mut Draft<'_>) -> Vec<Line> {
    let located = match Located::parse(&draft.source.text) {
        Ok(located) => located,
        Err((at, message)) => {
            draft.refuse(at, &message, NEXT);
            return Vec::new();
        }
    };
    let Some(Value::Object(root)) = located.value.get(ROOT) else {
        draft.refuse(0, &format!("it has no {ROOT}"), NEXT);
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, value) in root {
        let is_template = name == "TEMPLATE";
        let path = if is_template { "" } else { name };
        let pointer = format!("/{ROOT}/{}", escaped(name));
        let at = (path, pointer.as_str());
        walk_json(&located, value, at, is_template, &mut found);
    }
    joined(found)
}

/// Documents are as deep as [`Located`] allows.
fn walk_json(
    located: &Located,
    value: &Value,
    (path, pointer): (&str, &str),
    is_template: bool,
    found: &mut Vec<Found>,
) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let pointer = format!("{pointer}/{}", escaped(name));
                let at = (&*below(path, name), &*pointer);
                walk_json(located, value, at, is_template, found);
            }
        }
        Value::Array(list) => {
            for (number, value) in list.iter().enumerate() {
                let pointer = format!("{pointer}/{number}");
                walk_json(located, value, (path, &pointer), is_template, found);
            }
        }
        value => {
            let text = value.as_str().map(str::to_owned);
            let line = Line {
                at: located.place(pointer),
                key: path.to_owned(),
                value: text.unwrap_or_else(|| value.to_string()),
            };
            found.push(Found { line, is_template });
        }
    }
}

fn below(path: &str, name: &str) -> String {
    match path.is_empty() {
        true => name.to_owned(),
        false => format!("{path}/{name}"),
    }
}

/// What the datastore is stands outside its template, and again in it as it was written: what
/// differs there is kept beside it.
fn joined(found: Vec<Found>) -> Vec<Line> {
    let (written, known): (Vec<_>, Vec<_>) = found.into_iter().partition(|it| it.is_template);
    let mut lines: Vec<Line> = known.into_iter().map(|it| it.line).collect();
    let outside = lines.len();
    for Found { mut line, .. } in written {
        let same = lines[..outside].iter().find(|it| it.key == line.key);
        match same {
            Some(same) if same.value == line.value => continue,
            Some(_) => line.key = below("TEMPLATE", &line.key),
            None => {}
        }
        lines.push(line);
    }
    lines
}
