//! Says whether disks hold what they may hold at an instant.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::disk::{self, name_of, new_name_of};
use crate::record::{Deed, FILE_COUNT, Record, SECTOR_BYTES};

/// Records on both disks.
///
/// Errors: the first thing that cannot be at any instant.
pub(crate) fn both(first: &Path, second: &Path) -> Result<[usize; 2], String> {
    let (a, b) = (one(first)?, one(second)?);
    let (ahead, behind) = (a.len(), b.len());
    if ahead.checked_sub(behind).is_none_or(|more| more > 1) {
        return Err(format!("{ahead} and {behind} records are of two instants"));
    }
    if a[..behind] != b[..] {
        return Err("the disks hold different journals".into());
    }
    Ok([ahead, behind])
}

/// The records on a disk whose files are what the records have made of them.
fn one(folder: &Path) -> Result<Vec<Record>, String> {
    let shown = folder.display();
    let read = disk::read(folder).map_err(|e| format!("{shown}: {e}"))?;
    let count = read.records.len();
    if read.surplus > 0 {
        let surplus = read.surplus;
        return Err(format!(
            "{shown}: {surplus} bytes behind {count} records are none"
        ));
    }
    let numbers = read.records.iter().map(|record| record.number);
    if !numbers.eq(1..=count as u64) {
        return Err(format!("{shown}: the records are not 1 to {count}"));
    }
    let (last, before) = match read.records.split_last() {
        None => (None, &[][..]),
        Some((last, before)) => (Some(last), before),
    };
    let expected = replayed(before);
    names(folder, &expected, last)?;
    for file in 0..FILE_COUNT {
        let path = folder.join(name_of(file));
        let found = path.exists().then(|| fs::read(&path)).transpose();
        let found = found.map_err(|e| format!("{}: {e}", path.display()))?;
        let touching = last.filter(|record| record.file == file);
        is_content(found.as_deref(), expected.get(&file), touching)
            .map_err(|wrong| format!("{} after {count} records: {wrong}", path.display()))?;
    }
    Ok(read.records)
}

/// Contents of files when every record is obeyed.
fn replayed(records: &[Record]) -> BTreeMap<u64, Vec<u8>> {
    let mut files = BTreeMap::<u64, Vec<u8>>::new();
    for record in records {
        let file = files.entry(record.file).or_default();
        obeyed(file, record);
    }
    files
}

fn obeyed(file: &mut Vec<u8>, record: &Record) {
    let content = record.content();
    match record.deed {
        Deed::Replace => *file = content,
        Deed::Overwrite => {
            let (start, end) = (
                record.offset as usize,
                record.offset as usize + content.len(),
            );
            file.resize(file.len().max(end), 0);
            file[start..end].copy_from_slice(&content);
        }
    }
}

/// Nothing lies there that no record has ordered.
fn names(
    folder: &Path,
    expected: &BTreeMap<u64, Vec<u8>>,
    last: Option<&Record>,
) -> Result<(), String> {
    let mut known = BTreeSet::from(["journal".to_owned(), "lost+found".to_owned()]);
    known.extend(expected.keys().map(|file| name_of(*file)));
    if let Some(last) = last {
        known.insert(name_of(last.file));
        known.insert(new_name_of(last.file));
    }
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for entry in entries {
        let name = entry.map_err(|e| e.to_string())?.file_name();
        let name = name.to_string_lossy();
        if !known.contains(&*name) {
            return Err(format!("{}: nobody made {name}", folder.display()));
        }
    }
    Ok(())
}

/// A file is what was expected, or what the last record makes of it, or on the way there.
fn is_content(
    found: Option<&[u8]>,
    before: Option<&Vec<u8>>,
    touching: Option<&Record>,
) -> Result<(), String> {
    let Some(last) = touching else {
        return match found == before.map(Vec::as_slice) {
            true => Ok(()),
            false => Err(difference(found, before)),
        };
    };
    let mut after = before.cloned().unwrap_or_default();
    obeyed(&mut after, last);
    let is_whole = found == before.map(Vec::as_slice) || found == Some(&after);
    let is_way = last.deed == Deed::Overwrite
        && is_between(
            found.unwrap_or_default(),
            before.map_or(&[], |it| it),
            &after,
        );
    match is_whole || is_way {
        true => Ok(()),
        false => Err(format!("neither before nor after record {}", last.number)),
    }
}

/// Every sector is old or new; behind the end of a file there are zeros.
fn is_between(found: &[u8], before: &[u8], after: &[u8]) -> bool {
    if found.len() < before.len() || found.len() > after.len() {
        return false;
    }
    let padded = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.resize(after.len(), 0);
        bytes
    };
    let (found, before) = (padded(found), padded(before));
    let sector = SECTOR_BYTES as usize;
    let mut sectors = found
        .chunks(sector)
        .zip(before.chunks(sector))
        .zip(after.chunks(sector));
    sectors.all(|((found, before), after)| found == before || found == after)
}

fn difference(found: Option<&[u8]>, expected: Option<&Vec<u8>>) -> String {
    let (Some(found), Some(expected)) = (found, expected) else {
        return "a file is missing, or there too early".into();
    };
    let same = found.iter().zip(expected).take_while(|(a, b)| a == b);
    let (same, has, wants) = (same.count(), found.len(), expected.len());
    format!("differs at byte {same}; has {has} bytes of {wants}")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::path::PathBuf;

    use super::*;
    use crate::disk::Disk;

    /// Two folders that stand for disks, with a life of so many records.
    fn life(count: u64) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let (a, b) = (place.path().join("a"), place.path().join("b"));
        for folder in [&a, &b] {
            fs::create_dir(folder).unwrap();
            let mut disk = Disk::open(folder).unwrap();
            for number in 1..=count {
                let record = Record::plan(5, number);
                disk.append(&record).unwrap();
                disk.obey(&record).unwrap();
            }
        }
        (place, a, b)
    }

    fn wrong(a: &Path, b: &Path) -> String {
        both(a, b).unwrap_err()
    }

    #[test]
    fn an_undisturbed_life_is_sound_also_between_record_and_deed() {
        let (_place, a, b) = life(40);
        assert_eq!(both(&a, &b), Ok([40, 40]));
        let mut disk = Disk::open(&a).unwrap();
        let record = Record::plan(5, 41);
        disk.append(&record).unwrap();
        assert_eq!(both(&a, &b), Ok([41, 40]));
        disk.obey(&record).unwrap();
        assert_eq!(both(&a, &b), Ok([41, 40]));
    }

    #[test]
    fn disks_of_two_instants_are_found() {
        let (_place, a, b) = life(40);
        let mut disk = Disk::open(&a).unwrap();
        for number in 41..=42 {
            let record = Record::plan(5, number);
            disk.append(&record).unwrap();
            disk.obey(&record).unwrap();
        }
        assert!(wrong(&a, &b).contains("two instants"));
        assert!(wrong(&b, &a).contains("two instants"));
    }

    #[test]
    fn a_lost_write_is_found_in_every_file() {
        let (_place, a, b) = life(60);
        for file in 0..FILE_COUNT {
            let path = a.join(name_of(file));
            let whole = fs::read(&path).unwrap();
            let mut stale = whole.clone();
            let at = (stale.len() / 2) & !511;
            stale[at..at + 512].fill(0x5a);
            fs::write(&path, &stale).unwrap();
            let wrong = wrong(&a, &b);
            assert!(wrong.contains(&name_of(file)), "{wrong}");
            // What the last record may still have been at is nobody's loss.
            let is_last = Record::plan(5, 60).file == file;
            fs::write(&path, &whole[..whole.len() - 512]).unwrap();
            assert!(is_last || both(&a, &b).is_err());
            fs::write(&path, &whole).unwrap();
            assert_eq!(both(&a, &b), Ok([60, 60]));
        }
    }

    #[test]
    fn a_hurt_journal_and_strange_names_are_found() {
        let (_place, a, b) = life(20);
        let journal = a.join("journal");
        let whole = fs::read(&journal).unwrap();
        fs::write(&journal, &whole[..whole.len() - 64 * 3]).unwrap();
        assert!(both(&a, &b).is_err());
        let mut flipped = whole.clone();
        flipped[64 * 7 + 9] ^= 4;
        fs::write(&journal, flipped).unwrap();
        assert!(wrong(&a, &b).contains("behind 7 records"));
        fs::write(&journal, &whole).unwrap();
        let mut file = File::create(a.join("stray")).unwrap();
        file.write_all(b"x").unwrap();
        assert!(wrong(&a, &b).contains("nobody made stray"));
    }
}
