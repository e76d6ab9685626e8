//! What `thin_delta` says: which blocks two thin volumes do not share.
//!
//! Takes its XML, gives byte ranges. Strict: an answer that is cut off, or holds an element that
//! is not known here, is no answer, because what it hides would not be backed up.
//!
//! Source: thin_delta(8) and its output (versions 0.9 and 1.x).

use lifeboat_model::{Extent, ExtentSet};

/// Bytes of the unit that the kernel counts in.
const SECTOR: u64 = 512;

/// Reads the ranges that differ, or that one of the two does not have.
///
/// Errors: what is wrong with the answer, for people.
pub fn read_delta(answer: &[u8], disk_size: u64) -> Result<ExtentSet, String> {
    let text = str::from_utf8(answer).map_err(|_| "it is no text")?;
    let mut reader = Reader {
        disk_size,
        block_size: 0,
        open: Vec::new(),
        is_complete: false,
        changed: ExtentSet::new(),
    };
    let mut rest = text.trim();
    while !rest.is_empty() {
        let inner = rest
            .strip_prefix('<')
            .ok_or("there is text outside of elements")?;
        let (element, after) = inner.split_once('>').ok_or("it is cut off")?;
        reader.take(element.trim())?;
        rest = after.trim_start();
    }
    if reader.is_complete && reader.open.is_empty() {
        Ok(reader.changed)
    } else {
        Err("it is cut off".to_owned())
    }
}

struct Reader<'a> {
    disk_size: u64,
    block_size: u64,
    open: Vec<&'a str>,
    is_complete: bool,
    changed: ExtentSet,
}

impl<'a> Reader<'a> {
    fn take(&mut self, element: &'a str) -> Result<(), String> {
        if let Some(name) = element.strip_prefix('/') {
            let is_open = self.open.pop() == Some(name.trim());
            self.is_complete |= is_open && self.open.is_empty();
            return if is_open {
                Ok(())
            } else {
                Err(strange(element))
            };
        }
        let (element, is_empty) = match element.strip_suffix('/') {
            Some(element) => (element.trim_end(), true),
            None => (element, false),
        };
        let (name, attributes) = element
            .split_once(char::is_whitespace)
            .unwrap_or((element, ""));
        match (name, self.open.as_slice(), is_empty) {
            ("superblock", [], false) if !self.is_complete => {
                let sectors = attribute(attributes, "data_block_size").ok_or(strange(element))?;
                self.block_size = sectors
                    .checked_mul(SECTOR)
                    .filter(|size| *size > 0)
                    .ok_or(strange(element))?;
                self.open.push(name);
            }
            ("diff", ["superblock"], false) => self.open.push(name),
            // Nothing differs.
            ("diff", ["superblock"], true) => {}
            ("same", ["superblock", "diff"], true) => {}
            ("different" | "left_only" | "right_only", ["superblock", "diff"], true) => {
                let range = self.range(attributes).ok_or(strange(element))?;
                self.changed.extend(range);
            }
            _ => return Err(strange(element)),
        }
        Ok(())
    }

    /// The bytes of the blocks, cut at the disk's end: the last block may reach beyond.
    fn range(&self, attributes: &str) -> Option<Option<Extent>> {
        let start = attribute(attributes, "begin")?.checked_mul(self.block_size)?;
        let length = attribute(attributes, "length")?.checked_mul(self.block_size)?;
        let end = start.checked_add(length)?.min(self.disk_size);
        Some(Extent::new(start, end))
    }
}

fn strange(element: &str) -> String {
    let shown: String = element
        .chars()
        .take(60)
        .flat_map(char::escape_debug)
        .collect();
    format!("<{shown}> is not known here")
}

/// The number in `name="number"`.
fn attribute(attributes: &str, name: &str) -> Option<u64> {
    let mut words = attributes.split_ascii_whitespace();
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix("=\""))?;
    value.strip_suffix('"')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<superblock uuid=\"\" time=\"1\" transaction=\"2\" \
        data_block_size=\"128\" nr_data_blocks=\"0\">\n  <diff left=\"1\" right=\"2\">\n";
    const END: &str = "  </diff>\n</superblock>\n";

    fn read(middle: &str) -> Result<Vec<(u64, u64)>, String> {
        let set = read_delta(format!("{HEAD}{middle}{END}").as_bytes(), 10 << 16)?;
        Ok(set
            .iter()
            .map(|it| (it.start() >> 16, it.end() >> 16))
            .collect())
    }

    #[test]
    fn everything_that_is_not_shared_is_changed() {
        let middle = "<different begin=\"0\" length=\"1\"/><same begin=\"1\" length=\"2\"/>\n\
            <left_only begin=\"3\" length=\"1\" />\n<right_only begin=\"8\" length=\"9\"/>";
        assert_eq!(read(middle).unwrap(), [(0, 1), (3, 4), (8, 10)]);
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn what_is_cut_off_or_strange_is_no_answer() {
        let whole = format!("{HEAD}<different begin=\"0\" length=\"1\"/>\n{END}");
        for end in 0..whole.trim_end().len() {
            assert!(
                read_delta(&whole.as_bytes()[..end], 1 << 20).is_err(),
                "{end}"
            );
        }
        assert!(read_delta(format!("{whole}{whole}").as_bytes(), 1 << 20).is_err());
        for middle in [
            "<changed begin=\"0\" length=\"1\"/>",
            "<different begin=\"0\"/>",
            "<different begin=\"x\" length=\"1\"/>",
            "<different begin=\"18446744073709551615\" length=\"1\"/>",
            "words",
            "</diff>",
        ] {
            assert!(read(middle).is_err(), "{middle}");
        }
        let no_size = whole.replace("data_block_size=\"128\"", "data_block_size=\"0\"");
        assert!(read_delta(no_size.as_bytes(), 1 << 20).is_err());
    }
}
