//! The tables of `docs/reliability.md`.
//!
//! Only what lies between the two marks is written; the text around it is a person's.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, bail};

use super::figures::Figure;
use crate::workspace::Workspace;

const BEGIN: &str = "<!-- begin: written by cargo xtask torture -->";
const END: &str = "<!-- end: written by cargo xtask torture -->";

/// One table a section, with the sums of what is counted alike, and the machine.
pub(crate) fn render(figures: &[Figure]) -> Result<String> {
    let mut sections = BTreeMap::<&str, Vec<&Figure>>::new();
    for figure in figures {
        sections.entry(&figure.section).or_default().push(figure);
    }
    let mut text = format!("Counted on {}.\n", machine()?);
    for (section, figures) in sections {
        write!(
            text,
            "\n### {section}\n\n| what | figure | date |\n|---|--:|---|\n"
        )?;
        for figure in &figures {
            let (what, value) = (&figure.what, grouped(&figure.value));
            writeln!(text, "| {what} | {value} | {} |", figure.date)?;
        }
        for (kind, sum) in sums(&figures) {
            writeln!(
                text,
                "| **all: {kind}** | **{}** | |",
                grouped(&sum.to_string())
            )?;
        }
        let mut commands: Vec<_> = figures.iter().map(|figure| &figure.command).collect();
        commands.sort();
        commands.dedup();
        text.push('\n');
        for command in commands {
            writeln!(text, "`{command}`  ")?;
        }
    }
    Ok(text)
}

/// Sums of whole numbers whose names end alike, as in `prune: states` and `forget: states`.
fn sums<'a>(figures: &[&'a Figure]) -> BTreeMap<&'a str, u64> {
    let mut found = BTreeMap::<&str, Vec<u64>>::new();
    for figure in figures {
        let kind = figure.what.rsplit_once(": ").map(|(_, kind)| kind);
        if let (Some(kind), Ok(value)) = (kind, figure.value.parse()) {
            found.entry(kind).or_default().push(value);
        }
    }
    let several = found.into_iter().filter(|(_, values)| values.len() > 1);
    several
        .map(|(kind, values)| (kind, values.iter().sum()))
        .collect()
}

/// A whole number with commas between thousands; anything else as it is.
fn grouped(value: &str) -> String {
    if value.parse::<u64>().is_err() {
        return value.to_owned();
    }
    let mut shown = String::new();
    for (at, digit) in value.chars().enumerate() {
        if at > 0 && (value.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Puts `tables` between the marks of the document.
pub(crate) fn write(workspace: &Workspace, tables: &str) -> Result<()> {
    let path = workspace.root.join("docs/reliability.md");
    let text = fs::read_to_string(&path).context("reading docs/reliability.md")?;
    fs::write(&path, replaced(&text, tables)?).context("writing docs/reliability.md")
}

fn replaced(text: &str, tables: &str) -> Result<String> {
    let found = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let Some((before, after)) = found else {
        bail!("docs/reliability.md has lost its marks: put {BEGIN} and {END} back");
    };
    Ok(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        tables.trim_end()
    ))
}

/// Cores, processor, memory and kernel, as they matter to whoever compares figures.
fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism().context("counting the cores")?;
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&processors, "model name").unwrap_or("an unknown processor");
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = field(&memory, "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(format!(
        "{cores} cores of {model}, {} GiB of memory, Linux {}",
        (kibibytes + (1 << 19)) >> 20,
        kernel.trim()
    ))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(key, _)| key.trim() == name);
    found.map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(what: &str, value: &str) -> Figure {
        Figure {
            section: "crash points".into(),
            what: what.into(),
            value: value.into(),
            date: "2026-01-31".into(),
            command: "cargo xtask torture long power".into(),
        }
    }

    #[test]
    fn figures_become_rows_and_like_ones_are_summed() {
        let figures = ["forget: states", "prune: states", "seeds"].map(|what| figure(what, "1200"));
        let text = render(&figures).unwrap();
        assert!(
            text.contains("\n| prune: states | 1,200 | 2026-01-31 |\n"),
            "{text}"
        );
        assert!(
            text.contains("\n| **all: states** | **2,400** | |\n"),
            "{text}"
        );
        assert_eq!(text.matches("`cargo xtask torture long power`").count(), 1);
    }

    #[test]
    fn only_what_lies_between_the_marks_is_written() {
        let old = format!("# Title\n\n{BEGIN}\nold\n{END}\n\nEnd.\n");
        let new = replaced(&old, "new\n").unwrap();
        assert_eq!(new, format!("# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nEnd.\n"));
        assert!(replaced("# Title\n", "new").is_err());
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            ["7", "1234567", "12 s"].map(grouped),
            ["7", "1,234,567", "12 s"]
        );
    }
}
