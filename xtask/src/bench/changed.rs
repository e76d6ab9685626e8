//! Lists of changed extents, as a hypervisor's dirty bitmap would give them.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;

/// Granularity of QEMU's bitmaps unless told otherwise.
const GRAIN_BYTES: usize = 64 << 10;

/// An entry as `nbdinfo --map=qemu:dirty-bitmap:NAME --json` prints it.
#[derive(Debug, PartialEq, Serialize)]
struct Entry {
    offset: u64,
    length: u64,
    #[serde(rename = "type")]
    kind: u64,
    description: &'static str,
}

/// Writes the list that says nothing changed on a disk of this size.
pub(crate) fn write_empty(disk_bytes: u64, list: &Path) -> Result<()> {
    let mut entries = Vec::new();
    extend(&mut entries, disk_bytes, false);
    save(&entries, list)
}

/// Compares two states of a disk and writes the list; gives how many bytes it marks.
pub(crate) fn write(before: &Path, after: &Path, list: &Path) -> Result<u64> {
    let open =
        |path: &Path| File::open(path).with_context(|| format!("opening {}", path.display()));
    let (mut old, mut new) = (open(before)?, open(after)?);
    ensure!(
        old.metadata()?.len() == new.metadata()?.len(),
        "{} and {} differ in size",
        before.display(),
        after.display()
    );
    let mut grains = (vec![0; GRAIN_BYTES], vec![0; GRAIN_BYTES]);
    let (mut entries, mut marked) = (Vec::new(), 0);
    loop {
        let count = fill(&mut old, &mut grains.0)?;
        fill(&mut new, &mut grains.1)?;
        if count == 0 {
            break;
        }
        let is_dirty = grains.0[..count] != grains.1[..count];
        extend(&mut entries, count as u64, is_dirty);
        marked += if is_dirty { count as u64 } else { 0 };
    }
    save(&entries, list)?;
    Ok(marked)
}

/// Beginnings and ends of what a list marks.
pub(crate) fn read(list: &Path) -> Result<Vec<(u64, u64)>> {
    let text = fs::read(list).with_context(|| format!("reading {}", list.display()))?;
    let entries: Vec<Value> = serde_json::from_slice(&text).context("reading a list of changes")?;
    let number = |entry: &Value, name: &str| entry[name].as_u64().unwrap_or(0);
    let marked = entries.iter().filter(|entry| number(entry, "type") == 1);
    let of = |entry: &Value| (number(entry, "offset"), number(entry, "length"));
    Ok(marked
        .map(of)
        .map(|(start, length)| (start, start + length))
        .collect())
}

/// Whether two files hold the same bytes.
pub(crate) fn are_equal(one: &Path, two: &Path) -> Result<bool> {
    let (mut one, mut two) = (File::open(one)?, File::open(two)?);
    if one.metadata()?.len() != two.metadata()?.len() {
        return Ok(false);
    }
    let mut grains = (vec![0; GRAIN_BYTES], vec![0; GRAIN_BYTES]);
    loop {
        let count = fill(&mut one, &mut grains.0)?;
        fill(&mut two, &mut grains.1)?;
        if grains.0[..count] != grains.1[..count] {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

fn extend(entries: &mut Vec<Entry>, length: u64, is_dirty: bool) {
    let kind = u64::from(is_dirty);
    let offset = entries.last().map_or(0, |last| last.offset + last.length);
    match entries.last_mut() {
        Some(last) if last.kind == kind => last.length += length,
        _ => entries.push(Entry {
            offset,
            length,
            kind,
            description: if is_dirty { "dirty" } else { "clean" },
        }),
    }
}

fn save(entries: &[Entry], list: &Path) -> Result<()> {
    let json = serde_json::to_vec(entries).context("writing a list of extents")?;
    fs::write(list, json).with_context(|| format!("writing {}", list.display()))
}

/// Reads until the buffer is full or the file ends; gives how much.
fn fill(file: &mut File, buffer: &mut [u8]) -> Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read(&mut buffer[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_kind_are_one_extent() {
        let mut entries = Vec::new();
        for (length, is_dirty) in [(8, false), (8, false), (8, true), (4, false)] {
            extend(&mut entries, length, is_dirty);
        }
        let told: Vec<_> = entries
            .iter()
            .map(|it| (it.offset, it.length, it.description))
            .collect();
        assert_eq!(told, [(0, 16, "clean"), (16, 8, "dirty"), (24, 4, "clean")]);
    }
}
