//! The text of one file, parsed, with its lines.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use crate::finding::{Finding, Severity, Spot};

/// A file of the configuration.
pub(crate) struct Document<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
    pub(crate) root: Spanned<DeTable<'a>>,
    /// Stands for every table that is not written.
    pub(crate) empty: DeTable<'a>,
}

impl<'a> Document<'a> {
    /// Parses what can be parsed; the rest are findings.
    pub(crate) fn parse(file: &'a str, text: &'a str, findings: &mut Vec<Finding>) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let empty = DeTable::new();
        let document = Self {
            file,
            text,
            root,
            empty,
        };
        for error in errors {
            findings.push(Finding {
                spot: document.spot(error.span().unwrap_or(0..0)),
                severity: Severity::Error,
                message: error.message().to_owned(),
                suggestion: None,
            });
        }
        document
    }

    /// Where a range of bytes begins.
    pub(crate) fn spot(&self, span: Range<usize>) -> Spot {
        let mut end = span.start.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Spot {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}
