//! The document: what was measured on what, against what is promised.
//!
//! Everything comes from the records, but for two parts that people write: what stands between
//! the marks is taken over from the document that is there.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use super::machine::Machine;
use super::record::Records;
use super::rows::{ROWS, Row};

mod figures;
mod judgement;
mod kept;
mod table;

use figures::Figures;
use kept::Kept;

/// Writes the document anew.
pub(crate) fn write(records: &Records, machine: &Machine, document: &Path) -> Result<()> {
    let old = match fs::read_to_string(document) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("reading {}", document.display()))?,
    };
    let text = text(records, machine, &Kept::of(&old))?;
    fs::write(document, text).with_context(|| format!("writing {}", document.display()))
}

fn text(records: &Records, machine: &Machine, kept: &Kept) -> Result<String> {
    let rows: Vec<(&Row, Figures)> = ROWS
        .iter()
        .filter(|row| !records.of(row.name).is_empty())
        .map(|row| (row, Figures::of(row, records)))
        .collect();
    let mut text = String::from("# Benchmarks\n\n");
    text.push_str(&kept.head());
    write_machine(&mut text, machine, &rows)?;
    write_summary(&mut text, &rows)?;
    for (row, figures) in &rows {
        write_row(&mut text, row, figures)?;
    }
    write_commands(&mut text, &rows)?;
    text.push_str(&kept.foot());
    Ok(text)
}

fn write_machine(text: &mut String, machine: &Machine, rows: &[(&Row, Figures)]) -> Result<()> {
    let mut tools: Vec<_> = rows
        .iter()
        .flat_map(|(_, figures)| figures.versions())
        .collect();
    tools.sort();
    tools.dedup();
    let tools: Vec<_> = tools
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let lines = [
        ("measured", machine.date.clone()),
        ("by", format!("`cargo xtask {}`", machine.command)),
        (
            "processor",
            format!("{}, {} cores", machine.processor, machine.cores),
        ),
        ("memory", format!("{} MiB", machine.memory_mib)),
        ("kernel", machine.kernel.clone()),
        (
            "disk",
            format!(
                "{} MiB/s, written and made durable",
                machine.disk_mib_per_second
            ),
        ),
        ("programs", tools.join(", ")),
    ];
    text.push_str("## On what\n\n|  |  |\n|---|---|\n");
    for (name, value) in lines {
        writeln!(text, "| {name} | {value} |")?;
    }
    text.push('\n');
    Ok(())
}

fn write_summary(text: &mut String, rows: &[(&Row, Figures)]) -> Result<()> {
    text.push_str("## What is promised, and what was measured\n\n");
    text.push_str("| row | | target | measured | |\n|---:|---|---|---|---|\n");
    for (row, figures) in rows {
        for judged in judgement::judge(row, figures) {
            let (target, measured, verdict) = (judged.target, judged.measured, judged.verdict);
            let (name, title) = (row.name, row.title);
            writeln!(
                text,
                "| {name} | {title} | {target} | {measured} | {verdict} |"
            )?;
        }
    }
    text.push('\n');
    Ok(())
}

fn write_row(text: &mut String, row: &Row, figures: &Figures) -> Result<()> {
    writeln!(text, "## {}. {}\n\n{}\n", row.name, row.title, row.note)?;
    text.push_str(&table::table(row, figures)?);
    text.push('\n');
    for judged in judgement::judge(row, figures) {
        let (target, measured, verdict) = (judged.target, judged.measured, judged.verdict);
        writeln!(text, "* {target}: {measured}, {verdict}")?;
    }
    for words in figures.troubles() {
        writeln!(text, "* {words}")?;
    }
    text.push('\n');
    Ok(())
}

fn write_commands(text: &mut String, rows: &[(&Row, Figures)]) -> Result<()> {
    text.push_str(
        "## Commands\n\nRun in a folder of their own, where `source/disk.raw` is the \
                   disk; caches and settings lie in `state`.\n\n```text\n",
    );
    for (row, figures) in rows {
        for (tool, command) in figures.commands() {
            writeln!(text, "{:>3}  {tool:<17}  {command}", row.name)?;
        }
    }
    text.push_str("```\n\n");
    Ok(())
}
