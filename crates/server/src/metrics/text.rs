//! The two texts that Prometheus reads.

use std::fmt::{Display, Write};

/// Which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// What a family's values do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gauge,
    /// Its name ends with `_total`.
    Counter,
}

/// A text that grows family by family.
pub(crate) struct Text {
    format: Format,
    text: String,
}

/// A family whose samples follow.
pub(crate) struct Family<'a> {
    text: &'a mut Text,
    name: &'static str,
}

impl Text {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            text: String::new(),
        }
    }

    /// Begins a family; nothing else comes between its samples.
    pub(crate) fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> Family<'_> {
        let is_open = self.format == Format::OpenMetrics;
        let head = match kind {
            Kind::Counter if is_open => name.trim_end_matches("_total"),
            _ => name,
        };
        let word = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        self.text
            .push_str(&format!("# HELP {head} {help}\n# TYPE {head} {word}\n"));
        Family { text: self, name }
    }

    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    /// A sample; labels without a value are left out.
    pub(crate) fn sample(&mut self, labels: &[(&str, Option<&str>)], value: impl Display) {
        let text = &mut self.text.text;
        text.push_str(self.name);
        let mut gap = '{';
        for (name, value) in labels {
            if let Some(value) = value {
                text.push(gap);
                text.push_str(name);
                text.push_str("=\"");
                escape(text, value);
                text.push('"');
                gap = ',';
            }
        }
        if gap == ',' {
            text.push('}');
        }
        // Writing into a text does not fail.
        let _ = writeln!(text, " {value}");
    }
}

fn escape(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(letter),
        }
    }
}
