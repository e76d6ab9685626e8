//! Deciding which packs go.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use lifeboat_backend::FileKind;
use lifeboat_format::{BlobKind, MarkedPack, PackEntry, PackId};
use lifeboat_model::{ErrorKind, Phase};

use super::{PruneOptions, PrunePlan, RepackedPack, SizedPack, UnusedLimit};
use crate::check::{chain, is_damage};
use crate::lock::{self, oldest_start};
use crate::{
    BlobOpener, Error, Index, Lock, LockMode, Repository, Result, commit, snapshots, walk,
};

/// Clocks of writers and of the pruner may differ by so much.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(lock::CLOCK_SKEW.as_secs() as i64);

/// Packs below this share of the pack size are small; they are merged when there are many.
const SMALL_SHARE: usize = 4;

/// So many small packs of one kind are merged.
const SMALL_PACKS_MIN: usize = 10;

/// A pack of the index while the plan is made.
struct Candidate {
    id: PackId,
    size: u64,
    time: Option<Timestamp>,
    kind: BlobKind,
    is_mixed: bool,
    live: Vec<PackEntry>,
    dead_bytes: u64,
    blob_count: usize,
}

impl Candidate {
    fn sized(&self) -> SizedPack {
        SizedPack {
            id: self.id,
            size: self.size,
        }
    }

    /// Bytes that are no blob's: the header.
    fn header_bytes(&self) -> u64 {
        let live: u64 = self.live.iter().map(|blob| u64::from(blob.length)).sum();
        self.size.saturating_sub(live + self.dead_bytes)
    }

    fn dead_share(&self) -> f64 {
        self.dead_bytes as f64 / self.size.max(1) as f64
    }
}

/// Makes the plan; needs a prune lock, or an exclusive one for an instant prune.
///
/// Errors: `Corrupt` if a snapshot cannot be read or needs data that is missing. Nothing is
/// ever removed from a repository in such a state. `Invalid` for an instant prune under a lock
/// that is not exclusive.
pub fn plan(repository: &Repository, lock: &Lock<'_>, options: PruneOptions) -> Result<PrunePlan> {
    if options.is_instant && lock.mode() != LockMode::Exclusive {
        let doing = "an instant prune needs an exclusive lock: a running backup would lose data";
        return Err(Error::new(ErrorKind::Invalid, doing));
    }
    // Order: locks before snapshots: whose snapshot is not listed yet is seen at work.
    let oldest_before = oldest_start(repository, lock)?;
    // Order: snapshots before the index, so that what they refer to is indexed.
    let listed = snapshots::list(repository)?;
    let index = repository.load_index()?;
    let with_marked = commit::with_marked(&index);
    repository.environment().progress.begin(Phase::Walk, 0);
    let roots = listed.iter().map(|snapshot| snapshot.file.tree);
    let (used, missing) = walk::used(repository, &with_marked, roots)?;
    if let Some(blob) = missing.first() {
        return believed(lock, Err(damaged(missing.len(), blob)));
    }
    let sizes: HashMap<PackId, u64> = repository
        .list(FileKind::Pack)?
        .iter()
        .map(|f| (f.id.into(), f.size))
        .collect();
    let mut plan = PrunePlan {
        options,
        snapshots: listed.iter().map(|snapshot| snapshot.id).collect(),
        index_files: index.files().to_vec(),
        doubtful: index.doubtful().iter().map(|mark| mark.id).collect(),
        ..PrunePlan::default()
    };
    let oldest_after = oldest_start(repository, lock)?;
    let oldest_writer = oldest_before.into_iter().chain(oldest_after).min();
    let mut candidates = believed(
        lock,
        candidates(&index, &with_marked, &used, &sizes, &mut plan),
    )?;
    believed(lock, check_needed_marks(repository, &index, &candidates))?;
    plan_marked(
        repository,
        &index,
        &mut candidates,
        oldest_writer,
        &sizes,
        &mut plan,
    );
    plan_unlisted(&index, &sizes, &mut plan);
    let live = candidates
        .into_iter()
        .filter(|c| index_lists(&index, c.id))
        .collect();
    plan_listed(live, oldest_writer, &mut plan);
    Ok(plan)
}

/// Errors: that the lock is lost comes first: who was stopped meanwhile looks for what others have
/// forgotten and removed since, and that is no damage.
fn believed<T>(lock: &Lock<'_>, found: Result<T>) -> Result<T> {
    if found.is_err() {
        lock.check()?;
    }
    found
}

fn index_lists(index: &Index, id: PackId) -> bool {
    index
        .packs()
        .binary_search_by_key(&id, |pack| pack.id)
        .is_ok()
}

fn damaged(count: usize, first: &walk::MissingBlob) -> Error {
    let doing = format!(
        "cannot prune: snapshots need {count} blobs that are missing, the first is {} blob {} \
         ({}); run 'lifeboat check' and 'lifeboat repair' first, nothing was removed",
        first.kind, first.id, first.seen
    );
    Error::new(ErrorKind::Corrupt, doing)
}

/// Splits every pack's blobs into live and dead; of several copies one is live.
///
/// A copy in a listed pack comes before one in a marked pack.
fn candidates(
    index: &Index,
    with_marked: &Index,
    used: &walk::UsedBlobs,
    sizes: &HashMap<PackId, u64>,
    plan: &mut PrunePlan,
) -> Result<Vec<Candidate>> {
    let mut candidates: Vec<Candidate> = Vec::with_capacity(with_marked.packs().len());
    for pack in with_marked.packs() {
        let size = sizes.get(&pack.id).copied().unwrap_or(0);
        let (time, kind) = (pack.time, BlobKind::Data);
        let (live, is_mixed) = (Vec::new(), false);
        let id = pack.id;
        candidates.push(Candidate {
            id,
            size,
            time,
            kind,
            is_mixed,
            live,
            dead_bytes: 0,
            blob_count: 0,
        });
    }
    let blobs: Vec<_> = with_marked.blobs().collect();
    let mut row = 0;
    while row < blobs.len() {
        let first = blobs[row];
        let copies = blobs[row..].iter().take_while(|b| b.id == first.id).count();
        for kind in [BlobKind::Data, BlobKind::Tree] {
            let rows = (row..row + copies).filter(|r| blobs[*r].kind == kind);
            let keeper = rows.clone().filter(|r| used.is_used(*r)).max_by_key(|r| {
                let pack = blobs[*r].location.pack;
                (
                    sizes.contains_key(&pack),
                    index_lists(index, pack),
                    std::cmp::Reverse(*r),
                )
            });
            for r in rows {
                settle(
                    &mut candidates[blobs[r].pack as usize],
                    &blobs[r],
                    keeper == Some(r),
                    plan,
                );
            }
            if let Some(keeper) = keeper
                && !sizes.contains_key(&blobs[keeper].location.pack)
            {
                return Err(lost_pack(blobs[keeper].location.pack));
            }
        }
        row += copies;
    }
    candidates
        .iter_mut()
        .for_each(|c| c.live.sort_unstable_by_key(|blob| blob.offset));
    Ok(candidates)
}

fn settle(
    candidate: &mut Candidate,
    blob: &crate::IndexedBlob,
    is_live: bool,
    plan: &mut PrunePlan,
) {
    candidate.is_mixed |= candidate.blob_count > 0 && candidate.kind != blob.kind;
    candidate.kind = blob.kind;
    candidate.blob_count += 1;
    let bytes = u64::from(blob.location.length);
    if is_live {
        candidate.live.push(blob.entry());
        plan.live_blobs += 1;
        plan.live_bytes += bytes;
    } else {
        candidate.dead_bytes += bytes;
        plan.dead_bytes += bytes;
    }
}

fn lost_pack(pack: PackId) -> Error {
    let doing = format!(
        "cannot prune: pack {pack} is missing and snapshots need it; \
         run 'lifeboat repair index' and 'lifeboat repair snapshots', nothing was removed"
    );
    Error::new(ErrorKind::Corrupt, doing)
}

/// A marked pack that a snapshot needs is listed again: not before its blobs are seen to be sound.
///
/// A repair of packs marks what is damaged, and until snapshots are repaired they refer to it.
fn check_needed_marks(
    repository: &Repository,
    index: &Index,
    candidates: &[Candidate],
) -> Result<()> {
    let needed = candidates
        .iter()
        .filter(|candidate| !candidate.live.is_empty() && !index_lists(index, candidate.id));
    let (mut opener, mut plaintext) = (BlobOpener::new(repository), Vec::new());
    for candidate in needed {
        for blob in &candidate.live {
            match opener.read(candidate.id, blob, &mut plaintext) {
                Err(error) if is_damage(&error) => {
                    return Err(damaged_mark(candidate.id, blob, &error));
                }
                result => result?,
            }
        }
    }
    Ok(())
}

fn damaged_mark(pack: PackId, blob: &PackEntry, error: &Error) -> Error {
    let doing = format!(
        "cannot prune: snapshots need {} blob {}, of which only a damaged copy is left in pack \
         {pack} ({}); run 'lifeboat repair snapshots' first, nothing was removed",
        blob.kind,
        blob.id,
        chain(error)
    );
    Error::new(ErrorKind::Corrupt, doing)
}

/// Marked packs: removed when their grace is over, listed again when needed.
fn plan_marked(
    repository: &Repository,
    index: &Index,
    candidates: &mut [Candidate],
    oldest_writer: Option<Timestamp>,
    sizes: &HashMap<PackId, u64>,
    plan: &mut PrunePlan,
) {
    let now = repository.environment().now();
    let grace = SignedDuration::try_from(plan.options.grace).unwrap_or(SignedDuration::MAX);
    for mark in index.marked() {
        let found = candidates.binary_search_by_key(&mark.id, |candidate| candidate.id);
        let is_needed = found.is_ok_and(|at| !candidates[at].live.is_empty());
        if !sizes.contains_key(&mark.id) {
            // Its pack was removed by an earlier prune; the mark has outlived it.
            plan.vanished.push(mark.id);
        } else if is_needed {
            plan.unmark.push(mark.clone());
        } else if plan.options.is_instant || is_over(mark, now, grace, oldest_writer) {
            plan.removed_bytes += sizes.get(&mark.id).copied().unwrap_or(0);
            plan.remove.push(mark.clone());
        } else {
            plan.marked.push(mark.clone());
        }
    }
}

/// Grace is over when time has passed and no writer is left that may have seen the pack listed.
fn is_over(
    mark: &MarkedPack,
    now: Timestamp,
    grace: SignedDuration,
    oldest_writer: Option<Timestamp>,
) -> bool {
    let has_aged = now.duration_since(mark.time) >= grace;
    has_aged && oldest_writer.is_none_or(|start| is_before_writer(mark, start))
}

/// Whether a writer that took its lock at `start` cannot have seen the marked pack listed.
pub(crate) fn is_before_writer(mark: &MarkedPack, start: Timestamp) -> bool {
    start.duration_since(mark.time) > CLOCK_SKEW
}

fn plan_unlisted(index: &Index, sizes: &HashMap<PackId, u64>, plan: &mut PrunePlan) {
    for (id, size) in sizes {
        let is_marked = index
            .marked()
            .binary_search_by_key(id, |mark| mark.id)
            .is_ok();
        if !is_marked && !index_lists(index, *id) {
            plan.unlisted.push(SizedPack {
                id: *id,
                size: *size,
            });
        }
    }
    plan.unlisted.sort_unstable_by_key(|pack| pack.id);
}

/// Listed packs: dead ones go, sparsely used and small ones are repacked.
fn plan_listed(candidates: Vec<Candidate>, oldest: Option<Timestamp>, plan: &mut PrunePlan) {
    let is_young = |candidate: &Candidate| {
        let time = candidate.time.unwrap_or(Timestamp::MIN);
        oldest.is_some_and(|start| start.duration_since(time) < CLOCK_SKEW)
    };
    let (mut partial, mut header_bytes) = (Vec::new(), 0);
    for candidate in candidates {
        if !candidate.live.is_empty() {
            header_bytes += candidate.header_bytes();
        }
        let is_whole = candidate.dead_bytes == 0 && !candidate.is_mixed;
        if candidate.size == 0 && candidate.live.is_empty() {
            plan.vanished.push(candidate.id);
        } else if is_young(&candidate) {
            plan.young
                .extend(candidate.live.is_empty().then(|| candidate.sized()));
        } else if candidate.live.is_empty() {
            plan.mark.push(candidate.sized());
        } else if !is_whole || is_small(&candidate, plan) {
            partial.push(candidate);
        }
    }
    plan_repack(partial, header_bytes, plan);
}

fn is_small(candidate: &Candidate, plan: &PrunePlan) -> bool {
    candidate.size < (plan.options.write.pack_bytes / SMALL_SHARE) as u64
}

fn plan_repack(mut partial: Vec<Candidate>, header_bytes: u64, plan: &mut PrunePlan) {
    let mut allowed = match plan.options.unused {
        UnusedLimit::Unlimited => return,
        UnusedLimit::Bytes(bytes) => bytes,
        UnusedLimit::Share(share) => {
            ((plan.live_bytes as f64 * share) as u64).saturating_sub(header_bytes)
        }
    };
    partial.sort_by(|a, b| {
        a.dead_share()
            .total_cmp(&b.dead_share())
            .then(a.id.cmp(&b.id))
    });
    let small = |kind| {
        partial
            .iter()
            .filter(|c| c.kind == kind && is_small(c, plan))
            .count()
    };
    let merges = [small(BlobKind::Data), small(BlobKind::Tree)].map(|n| n >= SMALL_PACKS_MIN);
    let mut repack = Vec::new();
    for candidate in partial {
        let is_merged =
            is_small(&candidate, plan) && merges[usize::from(candidate.kind == BlobKind::Tree)];
        if !candidate.is_mixed && !is_merged && candidate.dead_bytes <= allowed {
            allowed -= candidate.dead_bytes;
            continue;
        }
        repack.push(RepackedPack {
            pack: candidate.sized(),
            live: candidate.live,
        });
    }
    plan.repack = repack;
}
