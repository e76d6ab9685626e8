//! Changes of an XML text that leave everything else as it was written.

use std::ops::Range;

use roxmltree::Node;

use crate::capture::escaped;

/// Changes at places of one text.
#[derive(Default)]
pub(crate) struct Edits {
    changes: Vec<(Range<usize>, String)>,
}

impl Edits {
    pub(crate) fn remove(&mut self, node: Node<'_, '_>) {
        self.changes.push((node.range(), String::new()));
    }

    pub(crate) fn replace(&mut self, node: Node<'_, '_>, text: String) {
        self.changes.push((node.range(), text));
    }

    /// Puts text behind an element.
    pub(crate) fn insert_after(&mut self, node: Node<'_, '_>, text: String) {
        let end = node.range().end;
        self.changes.push((end..end, text));
    }

    /// Gives an attribute another value, or a first one.
    pub(crate) fn set(&mut self, node: Node<'_, '_>, name: &str, value: &str) {
        let text = format!("{name}='{}'", escaped(value));
        match node.attribute_node(name) {
            Some(attribute) => self.changes.push((attribute.range(), text)),
            None => {
                let behind = behind_name(node);
                self.changes.push((behind..behind, format!(" {text}")));
            }
        }
    }

    pub(crate) fn unset(&mut self, node: Node<'_, '_>, name: &str) {
        if let Some(attribute) = node.attribute_node(name) {
            self.changes.push((attribute.range(), String::new()));
        }
    }

    /// The text with all changes; a change inside of a removed or replaced part is left out.
    pub(crate) fn apply(mut self, xml: &str) -> String {
        self.changes
            .sort_by_key(|(range, _)| (range.start, range.end));
        let (mut out, mut done) = (String::with_capacity(xml.len()), 0);
        for (range, text) in self.changes {
            if range.start < done {
                continue;
            }
            out.push_str(xml.get(done..range.start).unwrap_or_default());
            out.push_str(&text);
            done = range.end;
        }
        out.push_str(xml.get(done..).unwrap_or_default());
        out
    }
}

/// The place behind an element's name in its opening tag.
fn behind_name(node: Node<'_, '_>) -> usize {
    let range = node.range();
    let text = node.document().input_text().get(range.clone());
    let text = text.unwrap_or_default();
    let end = text
        .find(|c: char| c.is_whitespace() || c == '>' || c == '/')
        .unwrap_or(text.len());
    range.start + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_changes() {
        let xml = "<a x='1' y=\"2\"><!-- kept --><b/><c><d/></c> text</a>";
        let document = roxmltree::Document::parse(xml).unwrap();
        let root = document.root_element();
        let find = |name| {
            document
                .descendants()
                .find(|n| n.has_tag_name(name))
                .unwrap()
        };
        let mut edits = Edits::default();
        edits.set(find("d"), "lost", "1");
        edits.replace(find("c"), "<e/>".into());
        edits.set(find("b"), "new", "<'>");
        edits.set(root, "x", "9");
        edits.unset(root, "y");
        edits.insert_after(find("b"), "<f/>".into());
        let expected = "<a x='9' ><!-- kept --><b new='&lt;&apos;&gt;'/><f/><e/> text</a>";
        assert_eq!(edits.apply(xml), expected);
    }
}
