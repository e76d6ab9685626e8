//! Deciding what to read and write.

use std::path::Path;

use lifeboat_format::BlobId;
use lifeboat_model::Phase;
use lifeboat_repository::{Index, Repository};

use super::inspect::{Partial, inspect};
use super::item::{Found, What};
use super::walk::fill;
use super::{FilesOptions, FilesPlan};
use crate::fetch::reads;
use crate::{Error, Result};
use lifeboat_model::ErrorKind;

/// Plans to bring the tree `root` into the folder `target`; writes nothing.
///
/// Existing files are read and compared where that saves work or decides a conflict.
///
/// Errors: `NotFound` if the filter fits nothing; a damaged root tree; what is wrong with single
/// files is a finding in the plan.
pub fn plan(
    repository: &Repository,
    index: &Index,
    root: &BlobId,
    target: &Path,
    options: &FilesOptions,
) -> Result<FilesPlan> {
    repository.environment().progress.begin(Phase::Walk, 0);
    let mut plan = FilesPlan {
        target: target.to_owned(),
        existing: options.existing,
        ..FilesPlan::default()
    };
    fill(&mut plan, repository, index, root, &options.filter)?;
    let is_empty = plan.items.is_empty() && !plan.folders.iter().any(|f| f.is_selected);
    if is_empty && plan.findings.iter().len() == 0 && !options.filter.takes_all() {
        let doing = "nothing in the snapshot fits what is to be included";
        return Err(Error::new(ErrorKind::NotFound, doing));
    }
    let partial = inspect(&mut plan, repository, index)?;
    choose(&mut plan, index, partial);
    count(&mut plan, index);
    Ok(plan)
}

/// Chooses the pieces that must be brought, and sorts them by pack.
fn choose(plan: &mut FilesPlan, index: &Index, mut partial: Partial) {
    let mut wanted: Vec<u32> = Vec::new();
    for (number, item) in (0..).zip(&plan.items) {
        let pieces = item.pieces();
        match item.found {
            Found::Nothing => wanted.extend(pieces.start as u32..pieces.end as u32),
            Found::Part | Found::InPlace => {
                let Some(differing) = partial.remove(&number) else {
                    continue;
                };
                let first = pieces.start as u32;
                wanted.extend(differing.pieces.iter().map(|piece| first + piece));
                if !differing.zeros.is_empty() {
                    plan.zeros.insert(number, differing.zeros);
                }
            }
            Found::Equal { .. } | Found::Blocked => {}
        }
    }
    let place = |number: u32| index.blob(plan.pieces[number as usize].row as usize);
    // Packs in the order in which files need them first.
    let mut ranks = vec![u32::MAX; index.packs().len()];
    let mut next = 0;
    for number in &wanted {
        let rank = &mut ranks[place(*number).pack as usize];
        if *rank == u32::MAX {
            *rank = next;
            next += 1;
        }
    }
    wanted.sort_unstable_by_key(|number| {
        let blob = place(*number);
        (ranks[blob.pack as usize], blob.location.offset, *number)
    });
    let requests = reads(wanted.len(), |number| place(wanted[number]).location);
    plan.reads = requests;
    plan.wanted = wanted;
}

fn count(plan: &mut FilesPlan, index: &Index) {
    let wanted_folders = plan
        .folders
        .iter()
        .skip(1)
        .filter(|folder| folder.is_wanted);
    plan.folder_count = wanted_folders.count() as u64;
    for item in &plan.items {
        match item.what {
            What::File { size, .. } => {
                plan.file_count += 1;
                plan.size = plan.size.saturating_add(size);
                plan.equal_count += u64::from(matches!(item.found, Found::Equal { .. }));
            }
            What::Link(_) => plan.file_count += 1,
            _ => plan.other_count += 1,
        }
    }
    let length = |number: &u32| {
        let row = plan.pieces[*number as usize].row as usize;
        u64::from(index.blob(row).location.plaintext_length())
    };
    plan.write_bytes = plan.wanted.iter().map(length).sum();
    plan.read_bytes = plan.reads.iter().map(|read| read.length).sum();
}
