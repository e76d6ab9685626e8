//! HTML in which text from outside stays text.

use crate::tables::shown;

/// A page that is being written. What is not written in this program itself is escaped.
pub(super) struct Markup(String);

impl Markup {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self(String::new())
    }

    /// Markup that stands in this program.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.0.push_str(&escape(text));
        self
    }

    /// An element that holds text.
    pub(super) fn element(&mut self, name: &'static str, text: &str) -> &mut Self {
        self.styled(name, "", text)
    }

    /// The same, of a class.
    pub(super) fn styled(
        &mut self,
        name: &'static str,
        class: &'static str,
        text: &str,
    ) -> &mut Self {
        let class = match class {
            "" => String::new(),
            class => format!(" class=\"{class}\""),
        };
        self.0 += &format!("<{name}{class}>{}</{name}>", escape(text));
        self
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Text as it stands between tags and in quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in shown(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
