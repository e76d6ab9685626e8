//! Reading stored data back and comparing it with its names.
//!
//! Takes a repository and which part of it to read; gives findings.
//! Does not look at structure: that is `lifeboat_repository::check`.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;

use lifeboat_backend::FileKind;
use lifeboat_format::{PackId, pack_size};
use lifeboat_model::{ByteCount, Entropy, ParseError, Phase};
use lifeboat_repository::{
    Finding, Index, IndexedBlob, PackNumber, PackVerifier, Repository, each_with,
};

use crate::Result;

/// Which share of the packs is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Subset {
    /// All of them.
    All,
    /// The n-th of t parts: in t runs every pack is read once.
    Part {
        /// From 1 to `of`.
        number: u32,
        /// Parts in all.
        of: u32,
    },
    /// Packs chosen at random, so many percent of them.
    Percent(f64),
    /// Packs chosen at random, so many bytes of them.
    Bytes(u64),
}

impl std::str::FromStr for Subset {
    type Err = ParseError;

    /// Reads `n/t`, `x%` or a size, as restic's `--read-data-subset` does.
    fn from_str(text: &str) -> std::result::Result<Self, ParseError> {
        let rule = "write n/t with 1 <= n <= t, a percentage like 2.5%, or a size like 50G";
        let wrong = || ParseError::new("subset", text, rule);
        if let Some((number, of)) = text.split_once('/') {
            let (number, of) = (
                number.parse().map_err(|_| wrong())?,
                of.parse().map_err(|_| wrong())?,
            );
            return if (1..=of).contains(&number) {
                Ok(Self::Part { number, of })
            } else {
                Err(wrong())
            };
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.parse().map_err(|_| wrong())?;
            let is_sound = percent > 0.0 && percent <= 100.0;
            return if is_sound {
                Ok(Self::Percent(percent))
            } else {
                Err(wrong())
            };
        }
        let bytes: ByteCount = text.parse().map_err(|_| wrong())?;
        if bytes.0 > 0 {
            Ok(Self::Bytes(bytes.0))
        } else {
            Err(wrong())
        }
    }
}

/// What a verify has read and found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Packs read.
    pub packs: usize,
    /// Bytes read.
    pub bytes: u64,
    /// Packs there are.
    pub packs_total: usize,
}

/// A pack as far as it is chosen.
#[derive(Clone, Copy)]
struct Candidate {
    number: PackNumber,
    id: PackId,
    bytes: u64,
}

/// Reads the packs of `subset` with all threads.
///
/// Memory: one pack for each thread, 4 bytes a blob, 48 a pack, a name for each pack that could be
/// exchanged.
pub fn verify(repository: &Repository, index: &Index, subset: Subset) -> Result<Verified> {
    let environment = repository.environment();
    let contents = index.contents();
    let numbered = index.packs().iter().zip(0..);
    let all: Vec<Candidate> = numbered
        .map(|(pack, number)| Candidate {
            number,
            id: pack.id,
            bytes: pack_size(&contents.blobs(number)),
        })
        .collect();
    let packs_total = all.len();
    let exchangeable = exchangeable(repository, index, &all)?;
    let chosen = choose(all, subset, &*environment.entropy);
    let bytes = chosen.iter().map(|pack| pack.bytes).sum();
    environment.progress.begin(Phase::Verify, bytes);
    let findings = Mutex::new(Vec::new());
    let verifier = || PackVerifier::new(repository);
    each_with(repository, &chosen, verifier, |verifier, pack| {
        let found = verifier.verify(
            pack.id,
            &contents.blobs(pack.number),
            exchangeable.contains(&pack.id),
        )?;
        environment.progress.advance(pack.bytes);
        environment
            .progress
            .findings
            .fetch_add(found.len() as u64, Relaxed);
        findings
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .extend(found);
        Ok(())
    })?;
    let findings = findings
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner());
    Ok(Verified {
        findings,
        packs: chosen.len(),
        bytes,
        packs_total,
    })
}

/// Packs whose blobs are no proof that they are under their own name.
///
/// Some of their blobs lie elsewhere too: in another listed pack, or perhaps in one that no index
/// lists and that is as long as they are. Then whoever exchanges the files, or those blobs, leaves
/// all content sound. It is still damage by the format's rule.
fn exchangeable(
    repository: &Repository,
    index: &Index,
    all: &[Candidate],
) -> Result<HashSet<PackId>> {
    let is_listed = |id: PackId| {
        let packs = index.packs();
        packs.binary_search_by_key(&id, |pack| pack.id).is_ok()
    };
    let files = repository.list(FileKind::Pack)?;
    let unlisted = files.iter().filter(|file| !is_listed(file.id.into()));
    let unlisted: HashSet<u64> = unlisted.map(|file| file.size).collect();
    let as_long = all.iter().filter(|pack| unlisted.contains(&pack.bytes));
    let mut found: HashSet<PackId> = as_long.map(|pack| pack.id).collect();
    // Copies lie side by side: blobs are sorted by name.
    let mut last: Option<IndexedBlob> = None;
    for blob in index.blobs() {
        if let Some(copy) = last.filter(|last| last.id == blob.id && last.pack != blob.pack) {
            found.extend([copy.location.pack, blob.location.pack]);
        }
        last = Some(blob);
    }
    Ok(found)
}

fn choose(mut packs: Vec<Candidate>, subset: Subset, entropy: &dyn Entropy) -> Vec<Candidate> {
    match subset {
        Subset::All => packs,
        Subset::Part { number, of } => {
            packs.retain(|pack| {
                let [a, b, c, d, ..] = pack.id.id().0;
                u32::from_be_bytes([a, b, c, d]) % of == number - 1
            });
            packs
        }
        Subset::Percent(percent) => {
            let count = (packs.len() as f64 * percent / 100.0).ceil() as usize;
            shuffle(&mut packs, entropy);
            packs.truncate(count.max(1));
            packs
        }
        Subset::Bytes(bytes) => {
            shuffle(&mut packs, entropy);
            let mut left = bytes;
            let fits = packs.iter().take_while(|pack| {
                let is_wanted = left > 0;
                left = left.saturating_sub(pack.bytes);
                is_wanted
            });
            let count = fits.count();
            packs.truncate(count);
            packs
        }
    }
}

fn shuffle<T>(items: &mut [T], entropy: &dyn Entropy) {
    for end in (1..items.len()).rev() {
        let mut random = [0; 8];
        entropy.fill(&mut random);
        items.swap(
            end,
            (u64::from_le_bytes(random) % (end as u64 + 1)) as usize,
        );
    }
}
