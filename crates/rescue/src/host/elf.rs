//! What a program of Linux asks from the machine it runs on: its loader and its libraries.
//!
//! Takes the bytes of an ELF file for a 64-bit little-endian processor.
//! Source: System V ABI, chapter 5, and the supplement for x86-64.

/// Kinds of segments.
const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;
/// Tags in the dynamic segment.
const NEEDED: u64 = 1;
const STRING_TABLE: u64 = 5;
const LIBRARY_PATH: u64 = 15;
const LIBRARY_RUN_PATH: u64 = 29;
/// Sizes of a program header and of an entry of the dynamic segment.
const HEADER_BYTES: usize = 56;
const ENTRY_BYTES: usize = 16;

/// A program's or library's wishes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// Path of the loader; none for a library or a static program.
    pub(super) interpreter: Option<String>,
    /// Names of libraries.
    pub(super) needed: Vec<String>,
    /// Folders to look in first, `$ORIGIN` and all.
    pub(super) folders: Vec<String>,
}

#[derive(Debug)]
struct Segment {
    kind: u32,
    offset: usize,
    address: u64,
    size: usize,
}

/// Reads the wishes; none if these bytes are no such file.
pub(super) fn wishes(bytes: &[u8]) -> Option<Wishes> {
    let segments = segments(bytes)?;
    let mut wishes = Wishes::default();
    if let Some(segment) = segments.iter().find(|it| it.kind == INTERPRETER) {
        wishes.interpreter = Some(text_at(bytes, segment.offset)?);
    }
    let Some(dynamic) = segments.iter().find(|it| it.kind == DYNAMIC) else {
        return Some(wishes);
    };
    let table = bytes.get(dynamic.offset..dynamic.offset.checked_add(dynamic.size)?)?;
    let entries: Vec<_> = table
        .chunks_exact(ENTRY_BYTES)
        .filter_map(|entry| Some((u64_at(entry, 0)?, u64_at(entry, 8)?)))
        .take_while(|(tag, _)| *tag != 0)
        .collect();
    let (_, strings) = entries.iter().find(|(tag, _)| *tag == STRING_TABLE)?;
    let strings = offset_of(&segments, *strings)?;
    for (tag, value) in entries {
        let text = || text_at(bytes, strings.checked_add(usize::try_from(value).ok()?)?);
        match tag {
            NEEDED => wishes.needed.push(text()?),
            LIBRARY_PATH | LIBRARY_RUN_PATH => {
                wishes.folders.extend(text()?.split(':').map(str::to_owned));
            }
            _ => {}
        }
    }
    Some(wishes)
}

/// The file without what only debuggers and linkers read: sections beyond the last segment.
pub(super) fn without_sections(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = segments(&bytes).and_then(|segments| {
        let ends = segments.iter().map(|it| it.offset.checked_add(it.size));
        ends.collect::<Option<Vec<_>>>()?.into_iter().max()
    });
    if let Some(end) = end.filter(|end| *end < bytes.len()) {
        bytes.truncate(end);
        // Where the sections are, how many, and which holds their names.
        bytes[40..48].fill(0);
        bytes[60..64].fill(0);
    }
    bytes
}

fn segments(bytes: &[u8]) -> Option<Vec<Segment>> {
    let is_known = bytes.starts_with(b"\x7fELF\x02\x01") && bytes.len() >= 64;
    if !is_known {
        return None;
    }
    let start = usize::try_from(u64_at(bytes, 32)?).ok()?;
    let count = u16::from_le_bytes(bytes.get(56..58)?.try_into().ok()?);
    let headers = bytes.get(start..start.checked_add(usize::from(count) * HEADER_BYTES)?)?;
    headers
        .chunks_exact(HEADER_BYTES)
        .map(|header| {
            Some(Segment {
                kind: u32::from_le_bytes(header[..4].try_into().ok()?),
                offset: usize::try_from(u64_at(header, 8)?).ok()?,
                address: u64_at(header, 16)?,
                size: usize::try_from(u64_at(header, 32)?).ok()?,
            })
        })
        .collect()
}

/// Where in the file an address of the running program comes from.
fn offset_of(segments: &[Segment], address: u64) -> Option<usize> {
    segments.iter().filter(|it| it.kind == LOAD).find_map(|it| {
        let inside = usize::try_from(address.checked_sub(it.address)?).ok()?;
        (inside < it.size).then_some(it.offset.checked_add(inside)?)
    })
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn text_at(bytes: &[u8], at: usize) -> Option<String> {
    let rest = bytes.get(at..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    String::from_utf8(rest[..end].to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_wants_a_loader_and_the_c_library() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let wishes = wishes(&bytes).unwrap();
        assert!(wishes.interpreter.clone().unwrap().contains("ld"));
        assert!(wishes.needed.iter().any(|name| name.starts_with("libc.")));
        let small = without_sections(bytes);
        assert_eq!(super::wishes(&small).unwrap(), wishes);
    }

    #[test]
    fn cut_files_are_no_programs() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(wishes(b"#!/bin/sh\n"), None);
        for length in [0, 6, 63, 64, 200, 1000] {
            assert_eq!(wishes(&bytes[..length]), None, "{length}");
        }
    }
}
