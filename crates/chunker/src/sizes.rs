//! How large chunks are.

/// Cuts lie on multiples of this many bytes: the block size of nearly every guest file system.
pub const BLOCK_BYTES: usize = 4096;

/// First piece of a zero run: stock restic restores sparsely only when it meets this very chunk.
///
/// Source: restic's own minimum chunk size.
pub const ZERO_PIECE_FIRST: u64 = 512 << 10;

/// Largest piece of a zero run; keeps the list of a 2 TiB hole at 262,144 pieces.
pub const ZERO_PIECE_MAX: u64 = 8 << 20;

/// Bounds of data chunks, in bytes; all multiples of [`BLOCK_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkSizes {
    min: u32,
    gap: u32,
    max: u32,
}

/// A disk of this size is cut at the smallest sizes: about a million chunks at most.
const SMALLEST_CLASS_BYTES: u64 = 128 << 30;

impl ChunkSizes {
    /// 64 KiB, 64 KiB, 1 MiB: a mean of 123 KiB on file systems.
    pub const DEFAULT: Self = Self {
        min: 64 << 10,
        gap: 64 << 10,
        max: 1 << 20,
    };

    /// Chunks of at least `min` bytes, cut after a further `gap` bytes in the mean, at most `max`.
    ///
    /// Nothing unless all are multiples of 4 KiB, `4 KiB <= min < max <= 16 MiB` and
    /// `4 KiB <= gap`.
    pub fn new(min: u32, gap: u32, max: u32) -> Option<Self> {
        let block = BLOCK_BYTES as u32;
        let aligned = [min, gap, max]
            .iter()
            .all(|n| *n >= block && n % block == 0);
        (aligned && min < max && max <= 16 << 20 && gap <= 1 << 30).then_some(Self {
            min,
            gap,
            max,
        })
    }

    /// These sizes, doubled as often as a disk of `disk_bytes` needs to stay near a million chunks.
    ///
    /// The list of chunks is one JSON value of 67 bytes each; at 128 GiB it is 70 MB, and stays so.
    pub fn for_disk(self, disk_bytes: u64) -> Self {
        let mut sizes = self;
        let mut class_bytes = SMALLEST_CLASS_BYTES;
        while class_bytes < disk_bytes && sizes.max < 16 << 20 {
            sizes = Self {
                min: sizes.min * 2,
                gap: sizes.gap * 2,
                max: sizes.max * 2,
            };
            class_bytes *= 2;
        }
        sizes
    }

    /// Smallest data chunk, unless the data itself is shorter.
    pub fn min(self) -> u32 {
        self.min
    }

    /// Mean distance from the smallest chunk to the next cut.
    pub fn gap(self) -> u32 {
        self.gap
    }

    /// Largest data chunk.
    pub fn max(self) -> u32 {
        self.max
    }

    /// A run of zero blocks of at least this length is a chunk border on both sides.
    pub fn zero_run_min(self) -> u64 {
        u64::from(self.min)
    }
}

/// The chunk lengths that stand for a zero run of `length` bytes, in order.
///
/// One piece of 512 KiB first, then pieces of 8 MiB, of 512 KiB, and the rest.
pub fn zero_pieces(length: u64) -> impl Iterator<Item = u64> {
    let mut rest = length;
    let mut is_first = true;
    std::iter::from_fn(move || {
        let large = if is_first {
            ZERO_PIECE_FIRST
        } else {
            ZERO_PIECE_MAX
        };
        let piece = match rest {
            0 => return None,
            _ if rest >= large => large,
            _ if rest >= ZERO_PIECE_FIRST => ZERO_PIECE_FIRST,
            _ => rest,
        };
        is_first = false;
        rest -= piece;
        Some(piece)
    })
}
