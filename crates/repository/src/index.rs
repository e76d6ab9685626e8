//! Which pack holds which blob, in memory.
//!
//! Takes index files and gives locations by blob id. 48 bytes a blob, sorted, with a table of
//! prefixes in front; immutable once built.
//! Does not hold blobs that are being written: the writer keeps those itself.
//!
//! Memory: 48 bytes a blob, also while it is built: rows are collected in one list that the
//! system grows by moving its pages, and sorted where they are.

mod sort;

use std::collections::HashSet;
use std::num::NonZeroU32;

use lifeboat_format::{
    BlobId, BlobKind, IndexFile, IndexId, MarkedPack, PackEntry, PackId, SEAL_OVERHEAD,
};

/// Where a blob lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobLocation {
    /// The pack.
    pub pack: PackId,
    /// First byte inside the pack.
    pub offset: u32,
    /// Sealed bytes.
    pub length: u32,
    /// Bytes before compression, for compressed blobs.
    pub uncompressed_length: Option<NonZeroU32>,
}

impl BlobLocation {
    /// Bytes of the blob itself.
    pub fn plaintext_length(&self) -> u32 {
        let raw = self.length.saturating_sub(SEAL_OVERHEAD as u32);
        self.uncompressed_length.map_or(raw, NonZeroU32::get)
    }
}

/// Number of a pack inside one index; stands for its id.
pub type PackNumber = u32;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    id: BlobId,
    /// Pack number; the top bit says that the blob is a tree.
    pack: u32,
    offset: u32,
    length: u32,
    uncompressed_length: u32,
}

const TREE_BIT: u32 = 1 << 31;

impl Row {
    fn kind(&self) -> BlobKind {
        if self.pack & TREE_BIT == 0 {
            BlobKind::Data
        } else {
            BlobKind::Tree
        }
    }

    fn number(&self) -> PackNumber {
        self.pack & !TREE_BIT
    }
}

/// One blob of one pack as the index lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedBlob {
    /// Data or tree.
    pub kind: BlobKind,
    /// Its name.
    pub id: BlobId,
    /// Number of its pack; see [`Index::pack`].
    pub pack: PackNumber,
    /// Where it lies there.
    pub location: BlobLocation,
}

impl IndexedBlob {
    /// The entry as a pack header or an index file holds it.
    pub fn entry(&self) -> PackEntry {
        PackEntry {
            kind: self.kind,
            id: self.id,
            offset: self.location.offset,
            length: self.location.length,
            uncompressed_length: self.location.uncompressed_length,
        }
    }
}

/// A pack that some index file lists.
#[derive(Clone, Debug)]
pub struct IndexedPack {
    /// Its name.
    pub id: PackId,
    /// When it was written, if the index file says so.
    pub time: Option<jiff::Timestamp>,
}

/// The repository's index as it was when loaded.
#[derive(Default)]
pub struct Index {
    rows: Vec<Row>,
    /// `prefixes[p]..prefixes[p + 1]` are the rows whose id starts with the 16 bits `p`.
    prefixes: Vec<u32>,
    packs: Vec<IndexedPack>,
    files: Vec<IndexId>,
    marked: Vec<MarkedPack>,
    /// Marks of packs that some file lists as well.
    doubtful: Vec<MarkedPack>,
    /// Files that carry such marks.
    unsettled: Vec<IndexId>,
}

impl Index {
    /// Finds one place where the blob lies.
    pub fn find(&self, kind: BlobKind, id: &BlobId) -> Option<BlobLocation> {
        self.copies(kind, id).next()
    }

    /// All places where the blob lies; usually one.
    pub fn copies(&self, kind: BlobKind, id: &BlobId) -> impl Iterator<Item = BlobLocation> + '_ {
        self.rows(kind, id)
            .map(|row| self.location(&self.rows[row]))
    }

    /// The numbers, in the order of [`Index::blobs`], of all copies of a blob.
    pub fn rows(&self, kind: BlobKind, id: &BlobId) -> impl Iterator<Item = usize> + '_ {
        self.range_of(id)
            .filter(move |row| self.rows[*row].kind() == kind)
    }

    fn range_of(&self, id: &BlobId) -> std::ops::Range<usize> {
        let prefix = prefix_of(id);
        let (Some(from), Some(to)) = (self.prefixes.get(prefix), self.prefixes.get(prefix + 1))
        else {
            return 0..0;
        };
        let bucket = &self.rows[*from as usize..*to as usize];
        let start = bucket.partition_point(|row| row.id < *id);
        let count = bucket[start..]
            .iter()
            .take_while(|row| row.id == *id)
            .count();
        let first = *from as usize + start;
        first..first + count
    }

    fn location(&self, row: &Row) -> BlobLocation {
        BlobLocation {
            pack: self.packs[row.number() as usize].id,
            offset: row.offset,
            length: row.length,
            uncompressed_length: NonZeroU32::new(row.uncompressed_length),
        }
    }

    /// Says whether the blob is stored.
    pub fn contains(&self, kind: BlobKind, id: &BlobId) -> bool {
        self.find(kind, id).is_some()
    }

    /// All blobs, sorted by id; a blob that lies in two packs comes twice.
    pub fn blobs(&self) -> impl ExactSizeIterator<Item = IndexedBlob> + '_ {
        self.rows.iter().map(|row| self.indexed(row))
    }

    /// The blob in that row (the order of [`Index::blobs`]).
    pub fn blob(&self, row: usize) -> IndexedBlob {
        self.indexed(&self.rows[row])
    }

    fn indexed(&self, row: &Row) -> IndexedBlob {
        IndexedBlob {
            kind: row.kind(),
            id: row.id,
            pack: row.number(),
            location: self.location(row),
        }
    }

    /// How many blobs there are.
    pub fn blob_count(&self) -> usize {
        self.rows.len()
    }

    /// The packs by number.
    pub fn packs(&self) -> &[IndexedPack] {
        &self.packs
    }

    /// The pack of that number.
    pub fn pack(&self, number: PackNumber) -> &IndexedPack {
        &self.packs[number as usize]
    }

    /// The index files it was made from.
    pub fn files(&self) -> &[IndexId] {
        &self.files
    }

    /// Packs that a prune has marked for removal and no index file lists as live.
    pub fn marked(&self) -> &[MarkedPack] {
        &self.marked
    }

    /// Marks of packs that are listed too: a prune is about to take those out of the index, or was
    /// killed before it did, or somebody has listed them again.
    pub(crate) fn doubtful(&self) -> &[MarkedPack] {
        &self.doubtful
    }

    /// The files that a run may rely on without another look: all but those with marks of packs
    /// that are listed too.
    pub fn settled_files(&self) -> impl Iterator<Item = IndexId> + '_ {
        let files = self.files.iter().copied();
        files.filter(|id| !self.unsettled.contains(id))
    }

    /// The same without the blobs of these packs.
    pub(crate) fn without(mut self, packs: &HashSet<PackId>) -> Self {
        let is_out: Vec<bool> = self.packs.iter().map(|p| packs.contains(&p.id)).collect();
        self.rows.retain(|row| !is_out[row.number() as usize]);
        self.prefixes = prefixes(&self.rows);
        self
    }

    /// The blobs of each pack, by pack number, each pack's in order of offset.
    ///
    /// Memory: 4 bytes a blob, and the entries of one pack at a time.
    pub fn by_pack(&self) -> impl ExactSizeIterator<Item = Vec<PackEntry>> + '_ {
        let contents = self.contents();
        let numbers = 0..self.packs.len();
        numbers.map(move |number| contents.blobs(number as PackNumber))
    }

    /// The blobs of packs, in any order of packs.
    ///
    /// Memory: 4 bytes a blob.
    pub fn contents(&self) -> PackContents<'_> {
        let mut ends = vec![0u32; self.packs.len()];
        for row in &self.rows {
            ends[row.number() as usize] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += std::mem::replace(end, sum);
        }
        let mut rows = vec![0; self.rows.len()];
        for (number, row) in self.rows.iter().enumerate() {
            let end = &mut ends[row.number() as usize];
            rows[*end as usize] = number as u32;
            *end += 1;
        }
        PackContents {
            index: self,
            rows,
            ends,
        }
    }
}

/// Which rows of an index lie in which pack.
pub struct PackContents<'a> {
    index: &'a Index,
    /// Numbers of rows, those of one pack together.
    rows: Vec<u32>,
    /// One past the last row of each pack.
    ends: Vec<u32>,
}

impl PackContents<'_> {
    /// The blobs of a pack, in order of offset.
    pub fn blobs(&self, pack: PackNumber) -> Vec<PackEntry> {
        let number = pack as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        let rows = &self.rows[start as usize..self.ends[number] as usize];
        let entry = |row: &u32| self.index.blob(*row as usize).entry();
        let mut blobs: Vec<_> = rows.iter().map(entry).collect();
        blobs.sort_unstable_by_key(|blob| blob.offset);
        blobs
    }
}

fn prefix_of(id: &BlobId) -> usize {
    let bytes = id.id().0;
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// Collects index files into an [`Index`].
#[derive(Default)]
pub struct IndexBuilder {
    rows: Vec<Row>,
    packs: Vec<IndexedPack>,
    files: Vec<IndexId>,
    /// Each with the file that carries it.
    marked: Vec<(MarkedPack, IndexId)>,
}

impl IndexBuilder {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what one index file lists.
    pub fn add_file(&mut self, id: IndexId, file: IndexFile) {
        self.files.push(id);
        for pack in file.packs {
            self.add_pack(pack.id, pack.time, &pack.blobs);
        }
        let marks = file.packs_to_delete.into_iter();
        self.marked.extend(marks.map(|mark| (mark, id)));
    }

    /// Adds one pack.
    pub fn add_pack(&mut self, id: PackId, time: Option<jiff::Timestamp>, blobs: &[PackEntry]) {
        let number = self.packs.len() as u32;
        self.packs.push(IndexedPack { id, time });
        self.rows.extend(blobs.iter().map(|blob| Row {
            id: blob.id,
            pack: number
                | if blob.kind == BlobKind::Tree {
                    TREE_BIT
                } else {
                    0
                },
            offset: blob.offset,
            length: blob.length,
            uncompressed_length: blob.uncompressed_length.map_or(0, NonZeroU32::get),
        }));
    }

    /// Sorts; a pack that several files list becomes one.
    pub fn build(self) -> Index {
        self.build_with(1)
    }

    /// Does so with this many threads.
    pub fn build_with(mut self, threads: usize) -> Index {
        let unify = self.unify_packs();
        sort::by_id(&mut self.rows, threads, |row| {
            row.pack = unify[row.number() as usize] | row.pack & TREE_BIT;
        });
        self.rows.dedup();
        self.rows.shrink_to_fit();
        let (marked, doubtful, unsettled) = self.unify_marked();
        Index {
            prefixes: prefixes(&self.rows),
            rows: self.rows,
            packs: self.packs,
            files: self.files,
            marked,
            doubtful,
            unsettled,
        }
    }

    /// Does so, with the blobs that lie only in packs that are marked for removal.
    ///
    /// A marked pack stays until its grace is over: who only reads may rely on it till then.
    pub fn build_to_read(mut self, threads: usize) -> Index {
        let marks = std::mem::take(&mut self.marked);
        let blobs = marks.iter().flat_map(|(mark, _)| &mark.blobs);
        let mut lacking: HashSet<_> = blobs.map(|blob| (blob.kind, blob.id)).collect();
        if !lacking.is_empty() {
            for row in &self.rows {
                lacking.remove(&(row.kind(), row.id));
            }
        }
        for (mark, _) in marks {
            let is_lacking = |blob: &&PackEntry| lacking.contains(&(blob.kind, blob.id));
            let blobs: Vec<_> = mark.blobs.iter().filter(is_lacking).copied().collect();
            if !blobs.is_empty() {
                self.add_pack(mark.id, None, &blobs);
            }
        }
        self.build_with(threads)
    }

    /// Sorts packs by id and keeps one of each; gives the new number of every old one.
    fn unify_packs(&mut self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.packs.len() as u32).collect();
        order.sort_unstable_by_key(|number| self.packs[*number as usize].id);
        let mut unify = vec![0; order.len()];
        let mut kept: Vec<IndexedPack> = Vec::with_capacity(order.len());
        for old in order {
            let pack = &self.packs[old as usize];
            match kept.last_mut() {
                Some(last) if last.id == pack.id => last.time = last.time.max(pack.time),
                _ => kept.push(pack.clone()),
            }
            unify[old as usize] = kept.len() as u32 - 1;
        }
        self.packs = kept;
        unify
    }

    /// Marks of packs that are not listed, marks of packs that are, and the files with the latter.
    ///
    /// Of several marks of a pack the newest counts: between two marks it may have been live.
    fn unify_marked(&mut self) -> (Vec<MarkedPack>, Vec<MarkedPack>, Vec<IndexId>) {
        let mut marks = std::mem::take(&mut self.marked);
        marks.sort_unstable_by_key(|(mark, _)| (mark.id, std::cmp::Reverse(mark.time)));
        let is_listed = |(mark, _): &(MarkedPack, IndexId)| {
            let found = self.packs.binary_search_by_key(&mark.id, |pack| pack.id);
            found.is_ok()
        };
        let (mut doubtful, mut marked): (Vec<_>, Vec<_>) = marks.into_iter().partition(is_listed);
        let mut unsettled: Vec<IndexId> = doubtful.iter().map(|(_, file)| *file).collect();
        unsettled.sort_unstable();
        unsettled.dedup();
        for marks in [&mut doubtful, &mut marked] {
            marks.dedup_by_key(|(mark, _)| mark.id);
        }
        let bare = |marks: Vec<(MarkedPack, _)>| marks.into_iter().map(|(mark, _)| mark).collect();
        (bare(marked), bare(doubtful), unsettled)
    }
}

fn prefixes(rows: &[Row]) -> Vec<u32> {
    let mut prefixes = vec![0u32; (1 << 16) + 1];
    for row in rows {
        prefixes[prefix_of(&row.id) + 1] += 1;
    }
    let mut sum = 0;
    for count in &mut prefixes {
        sum += *count;
        *count = sum;
    }
    prefixes
}
