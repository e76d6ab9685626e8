//! What lies on a disk: a partition, a logical volume, or the whole disk as one.

use super::codec::{Decoder, Encoder, Malformed};

// Limit: so the longest list of volumes fits into a frame.
const TEXT_BYTES_MAX: usize = 255;

/// Where a volume lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumePlace {
    /// The whole disk of that number.
    Disk(u32),
    /// A partition.
    Partition {
        /// Number of its disk.
        disk: u32,
        /// Its number in the table, from 1.
        number: u32,
    },
    /// A logical volume.
    Logical {
        /// Its volume group.
        group: String,
        /// Its name.
        name: String,
    },
}

/// A volume as the rescue VM found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundVolume {
    /// Where it lies.
    pub place: VolumePlace,
    /// Bytes.
    pub size: u64,
    /// Kind of its content, as in `ext4`, `LVM2_member`, `swap`; empty if unknown.
    pub content: String,
    /// Label of its file system; may be empty.
    pub label: String,
    /// UUID of its file system; may be empty.
    pub uuid: String,
    /// Its files can be read.
    pub is_readable: bool,
    /// Where its files appear in the system's own tree, as in `/boot`.
    pub mounted_at: Option<String>,
    /// Drive letter of Windows, by order.
    pub letter: Option<char>,
    /// What is worth knowing, as why it cannot be read; may be empty.
    pub note: String,
}

impl FoundVolume {
    pub(super) fn encode(&self, to: Encoder) -> Encoder {
        let to = match &self.place {
            VolumePlace::Disk(disk) => to.u8(0).u32(*disk),
            VolumePlace::Partition { disk, number } => to.u8(1).u32(*disk).u32(*number),
            VolumePlace::Logical { group, name } => to
                .u8(2)
                .string(clipped(group).as_bytes())
                .string(clipped(name).as_bytes()),
        };
        to.u64(self.size)
            .string(clipped(&self.content).as_bytes())
            .string(clipped(&self.label).as_bytes())
            .string(clipped(&self.uuid).as_bytes())
            .u8(u8::from(self.is_readable))
            .optional(self.mounted_at.as_deref().map(|at| clipped(at).as_bytes()))
            .u8(self.letter.map_or(0, |letter| letter as u8))
            .string(clipped(&self.note).as_bytes())
    }

    pub(super) fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            place: decode_place(from)?,
            size: from.u64()?,
            content: from.text(TEXT_BYTES_MAX)?,
            label: from.text(TEXT_BYTES_MAX)?,
            uuid: from.text(TEXT_BYTES_MAX)?,
            is_readable: from.flag()?,
            mounted_at: match from.flag()? {
                true => Some(from.text(TEXT_BYTES_MAX)?),
                false => None,
            },
            letter: match from.u8()? {
                0 => None,
                letter @ b'A'..=b'Z' => Some(letter.into()),
                _ => return Err(Malformed("a drive letter is none")),
            },
            note: from.text(TEXT_BYTES_MAX)?,
        })
    }
}

fn decode_place(from: &mut Decoder<'_>) -> Result<VolumePlace, Malformed> {
    match from.u8()? {
        0 => Ok(VolumePlace::Disk(from.u32()?)),
        1 => Ok(VolumePlace::Partition {
            disk: from.u32()?,
            number: from.u32()?,
        }),
        2 => Ok(VolumePlace::Logical {
            group: from.text(TEXT_BYTES_MAX)?,
            name: from.text(TEXT_BYTES_MAX)?,
        }),
        _ => Err(Malformed("a volume's place is unknown")),
    }
}

fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}
