//! Plain tables and times.

use std::time::Duration;

use jiff::Timestamp;

/// A table that is as wide as its content.
pub(crate) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads; a head that starts with `>` is set to the right.
    pub(crate) fn new(heads: &[&'static str]) -> Self {
        Self {
            heads: heads.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; control characters in names from outside are escaped.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| shown(&cell));
        self.rows.push(cells.collect());
    }

    /// The lines of the table, heads first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let titles = self.heads.iter().map(|head| head.trim_start_matches('>'));
        let titles: Vec<String> = titles.map(str::to_owned).collect();
        let mut widths = vec![0; self.heads.len()];
        for row in std::iter::once(&titles).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let all = std::iter::once(&titles).chain(&self.rows);
        all.map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width), head) in row.iter().zip(widths).zip(&self.heads) {
            let padding = width.saturating_sub(cell.chars().count());
            let padding = std::iter::repeat_n(' ', padding);
            if head.starts_with('>') {
                line.extend(padding);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.extend(padding);
            }
            line.push_str("  ");
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// `1 snapshot`, `2 snapshots`.
pub(crate) fn count(number: impl TryInto<u64>, what: &str) -> String {
    match number.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

/// Text from outside, safe for a terminal.
pub(crate) fn shown(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars()
        .flat_map(|c| {
            let is_plain = !c.is_control();
            let escaped = (!is_plain).then(|| c.escape_default());
            is_plain
                .then_some(c)
                .into_iter()
                .chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// A moment in the local time zone, to the second.
pub(crate) fn moment(time: Timestamp) -> String {
    let zone = jiff::tz::TimeZone::system();
    time.to_zoned(zone)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// A span as people say it: `42s`, `3m05s`, `2h10m`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, _) if duration < Duration::from_secs(10) => {
            format!("{:.1}s", duration.as_secs_f64())
        }
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s:02}s"),
        (h, m, _) => format!("{h}h{m:02}m"),
    }
}
