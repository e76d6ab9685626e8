//! What one line of the journal says, and its 64 bytes.

/// Bytes of a record; whole ones fill a page.
pub(crate) const RECORD_BYTES: usize = 64;
/// Files on each disk.
pub(crate) const FILE_COUNT: u64 = 6;
/// Files never grow beyond this.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Orders are in whole sectors: smaller parts never tear.
pub(crate) const SECTOR_BYTES: u64 = 512;
/// An overwrite has so many sectors at most.
const OVERWRITE_SECTORS_MAX: u64 = 32;
/// A new content has so many sectors at most.
const REPLACE_SECTORS_MAX: u64 = 64;
/// Every so many records, on average, a file is replaced as a whole.
const REPLACE_EVERY: u64 = 8;

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Bytes are written over what is there, or behind its end.
    Overwrite,
    /// A new file takes its name.
    Replace,
}

/// An order: the content follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// From 1, without gaps.
    pub(crate) number: u64,
    /// What the bytes come from.
    pub(crate) seed: u64,
    pub(crate) deed: Deed,
    /// Below [`FILE_COUNT`].
    pub(crate) file: u64,
    /// In bytes; zero for a replacement.
    pub(crate) offset: u64,
    /// In bytes.
    pub(crate) length: u64,
}

/// Spreads the bits of a number: neighbours give unlike values.
///
/// Source: Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Record {
    /// The record of a number, in the life that a seed gives.
    pub(crate) fn plan(seed: u64, number: u64) -> Self {
        let seed = mix(seed ^ mix(number));
        let dice = |turn: u64, end: u64| mix(seed.wrapping_add(turn)) % end;
        let file = dice(1, FILE_COUNT);
        if dice(2, REPLACE_EVERY) == 0 {
            let sectors = 1 + dice(3, REPLACE_SECTORS_MAX);
            return Self {
                number,
                seed,
                deed: Deed::Replace,
                file,
                offset: 0,
                length: sectors * SECTOR_BYTES,
            };
        }
        let sectors = 1 + dice(3, OVERWRITE_SECTORS_MAX);
        let places = FILE_BYTES_MAX / SECTOR_BYTES - sectors;
        Self {
            number,
            seed,
            deed: Deed::Overwrite,
            file,
            offset: dice(4, places) * SECTOR_BYTES,
            length: sectors * SECTOR_BYTES,
        }
    }

    /// The bytes it orders.
    pub(crate) fn content(&self) -> Vec<u8> {
        let words = (0..self.length / 8).map(|at| mix(self.seed ^ (at << 20)));
        words.flat_map(u64::to_le_bytes).collect()
    }

    /// Its bytes, and the checksum that the next record must name.
    pub(crate) fn encode(&self, prior: u64) -> ([u8; RECORD_BYTES], u64) {
        let deed = match self.deed {
            Deed::Overwrite => 0,
            Deed::Replace => 1,
        };
        let words = [
            self.number,
            self.seed,
            deed,
            self.file,
            self.offset,
            self.length,
            prior,
        ];
        let sum = words.iter().fold(0, |sum, word| mix(sum ^ word));
        let mut bytes = [0; RECORD_BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words.iter().chain([&sum])) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        (bytes, sum)
    }

    /// Reads a record that follows one with the checksum `prior`; nothing if it is no such one.
    pub(crate) fn decode(bytes: &[u8], prior: u64) -> Option<(Self, u64)> {
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?)))
            .collect();
        let [number, seed, deed, file, offset, length, ..] = words[..] else {
            return None;
        };
        let deed = match deed {
            0 => Deed::Overwrite,
            1 => Deed::Replace,
            _ => return None,
        };
        let record = Self {
            number,
            seed,
            deed,
            file,
            offset,
            length,
        };
        let (expected, sum) = record.encode(prior);
        (bytes == expected).then_some((record, sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_only_in_its_place_and_whole() {
        let (first, second) = (Record::plan(7, 1), Record::plan(7, 2));
        let (bytes, sum) = first.encode(0);
        assert_eq!(Record::decode(&bytes, 0), Some((first, sum)));
        assert_eq!(Record::decode(&bytes, sum), None);
        assert_eq!(Record::decode(&bytes[..40], 0), None);
        let (bytes, _) = second.encode(sum);
        for at in 0..RECORD_BYTES {
            let mut flipped = bytes;
            flipped[at] ^= 1;
            assert_eq!(Record::decode(&flipped, sum), None, "byte {at}");
        }
    }

    #[test]
    fn orders_stay_within_their_bounds_and_differ() {
        let records: Vec<_> = (1..2000).map(|number| Record::plan(3, number)).collect();
        for record in &records {
            assert!(record.file < FILE_COUNT && record.length > 0);
            assert!(record.offset + record.length <= FILE_BYTES_MAX);
            assert_eq!(record.content().len() as u64, record.length);
        }
        let replaced = records.iter().filter(|it| it.deed == Deed::Replace).count();
        assert!((100..500).contains(&replaced), "{replaced}");
        assert_ne!(records[0].content()[..8], records[1].content()[..8]);
    }
}
