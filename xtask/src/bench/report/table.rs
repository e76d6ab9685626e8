//! The table of one row.

use std::fmt::Write;

use anyhow::Result;

use super::figures::{Figure, Figures};
use crate::bench::rows::Row;
use crate::bench::statistics::{Spread, ratio};

const MIB: f64 = 1024.0 * 1024.0;
/// Counts that are no bytes.
const NUMBERS: [&str; 7] = [
    "snapshots",
    "blobs",
    "iops",
    "median",
    "p99",
    "rate",
    "console",
];

/// A number of a tool, if it has it.
type Value = Box<dyn Fn(&Figure) -> Option<f64>>;

/// One column: its heading, what a tool has there, and the number that ratios are made of.
struct Column {
    heading: String,
    cell: Box<dyn Fn(&Figure) -> String>,
    value: Option<Value>,
}

/// Renders it as Markdown; the last line is ours by the best peer's, column by column.
pub(crate) fn table(row: &Row, figures: &Figures) -> Result<String> {
    let columns = columns(row);
    let mut text = String::from("| tool |");
    for column in &columns {
        write!(text, " {} |", column.heading)?;
    }
    writeln!(text, "\n|---|{}", "---:|".repeat(columns.len()))?;
    for figure in figures.all() {
        let name = if figure.is_ours() {
            format!("**{}**", figure.tool)
        } else {
            figure.tool.clone()
        };
        write!(text, "| {name} |")?;
        for column in &columns {
            write!(text, " {} |", (column.cell)(figure))?;
        }
        text.push('\n');
    }
    text.push_str("| lifeboat / best peer |");
    for column in &columns {
        write!(text, " {} |", by_best(column, figures).unwrap_or_default())?;
    }
    text.push('\n');
    Ok(text)
}

fn by_best(column: &Column, figures: &Figures) -> Option<String> {
    let value = column.value.as_ref()?;
    let ours = value(figures.ours()?)?;
    let (name, best) = figures.best(|it| value(it))?;
    Some(format!("{:.2} ({name})", ratio(ours, best)?))
}

fn columns(row: &Row) -> Vec<Column> {
    let mut columns = Vec::new();
    if row.has_times {
        columns.push(seconds("wall s", |it| it.wall));
        if row.has_durable {
            columns.push(seconds("wall s until durable", |it| it.durable));
        }
        columns.push(seconds("CPU s", |it| it.cpu));
        columns.push(Column {
            heading: "peak MiB".into(),
            cell: Box::new(|it| format!("{:.0}", it.resident.max / MIB)),
            value: Some(Box::new(|it| Some(it.resident.max))),
        });
    }
    let counts = row.counts.iter();
    columns.extend(counts.map(|(name, heading)| count(name, heading)));
    columns
}

fn seconds(heading: &str, spread: fn(&Figure) -> Spread) -> Column {
    Column {
        heading: heading.into(),
        cell: Box::new(move |it| shown(spread(it))),
        value: Some(Box::new(move |it| Some(spread(it).median))),
    }
}

fn count(name: &'static str, heading: &str) -> Column {
    let is_number = NUMBERS.contains(&name);
    let told = move |value: f64| {
        if is_number {
            format!("{value:.0}")
        } else {
            format!("{:.1}", value / MIB)
        }
    };
    let is_compared = ["stored", "added", "rewritten"].contains(&name);
    let value: Value = Box::new(move |it| it.count(name));
    Column {
        heading: if is_number {
            heading.into()
        } else {
            format!("{heading} MiB")
        },
        cell: Box::new(move |it| it.count(name).map_or_else(String::new, told)),
        value: is_compared.then_some(value),
    }
}

/// The median, and the range if there is one.
fn shown(spread: Spread) -> String {
    let digits = if spread.median < 10.0 { 2 } else { 1 };
    let median = format!("{:.digits$}", spread.median);
    if spread.count < 2 {
        return median;
    }
    format!("{median} ({:.digits$}–{:.digits$})", spread.min, spread.max)
}
