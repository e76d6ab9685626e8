//! The 512 bytes in front of every member.

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = 512;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemberKind {
    File,
    Folder,
    /// Describes the member behind it, in pax records.
    Records,
    /// Holds the name of the member behind it.
    LongName,
    /// A link, a device, a sparse file, or anything else that holds no plain content.
    Other,
}

/// A header that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) kind: MemberKind,
    pub(super) size: u64,
}

/// What a block can be.
pub(super) enum Block {
    Header(Header),
    /// Two of these end an archive.
    Zeros,
    /// Neither; says why.
    Broken(&'static str),
}

const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Writes a header in ustar's shape; sizes from 8 GiB on in GNU's binary form.
///
/// `name` ends with a slash for folders and has at most 100 bytes.
pub(super) fn encode(name: &str, size: u64, seconds: u64) -> [u8; HEADER_BYTES] {
    assert!(name.len() <= 100, "names of a repository's files are short");
    let is_folder = name.ends_with('/');
    let mut block = [0; HEADER_BYTES];
    block[..name.len()].copy_from_slice(name.as_bytes());
    let mode: &[u8] = if is_folder { b"0000700" } else { b"0000400" };
    block[100..107].copy_from_slice(mode);
    block[108..115].copy_from_slice(b"0000000");
    block[116..123].copy_from_slice(b"0000000");
    put_number(&mut block[124..136], size);
    put_number(&mut block[136..148], seconds);
    block[156] = if is_folder { b'5' } else { b'0' };
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum = format!("{:06o}\0 ", checksum(&block));
    block[CHECKSUM].copy_from_slice(sum.as_bytes());
    block
}

/// Eleven octal digits, or GNU's binary form where those do not suffice.
fn put_number(field: &mut [u8], number: u64) {
    let digits = format!("{number:011o}");
    if digits.len() == 11 {
        field[..11].copy_from_slice(digits.as_bytes());
    } else {
        field[0] = 0x80;
        field[4..12].copy_from_slice(&number.to_be_bytes());
    }
}

/// Reads a block.
pub(super) fn decode(block: &[u8; HEADER_BYTES]) -> Block {
    if block.iter().all(|byte| *byte == 0) {
        return Block::Zeros;
    }
    if &block[257..262] != b"ustar" {
        return Block::Broken("there is no tar header");
    }
    if octal(&block[CHECKSUM]) != Some(checksum(block)) {
        return Block::Broken("the checksum of a tar header is wrong");
    }
    let Some(size) = number(&block[124..136]) else {
        return Block::Broken("a tar header states an impossible size");
    };
    let kind = match block[156] {
        b'0' | b'7' | 0 => MemberKind::File,
        b'5' => MemberKind::Folder,
        b'x' => MemberKind::Records,
        b'L' => MemberKind::LongName,
        _ => MemberKind::Other,
    };
    let name = name(block);
    Block::Header(Header { name, kind, size })
}

/// The name, after its prefix where ustar splits it.
fn name(block: &[u8; HEADER_BYTES]) -> Vec<u8> {
    let text = |field: &[u8]| field.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
    let mut name = text(&block[..100]).unwrap_or_default();
    // GNU's own magic uses the bytes of the prefix for other things.
    let prefix = text(&block[345..500]).filter(|_| block[262] == 0);
    if let Some(mut prefix) = prefix.filter(|prefix| !prefix.is_empty()) {
        prefix.push(b'/');
        prefix.append(&mut name);
        return prefix;
    }
    name
}

/// The sum of all bytes, with the sum's own field counted as spaces.
fn checksum(block: &[u8; HEADER_BYTES]) -> u64 {
    let all: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = block[CHECKSUM].iter().map(|byte| u64::from(*byte)).sum();
    all - own + 8 * u64::from(b' ')
}

fn number(field: &[u8]) -> Option<u64> {
    match field.split_first()? {
        (0x80, rest) => {
            let (high, low) = rest.split_at(rest.len().checked_sub(8)?);
            let low = u64::from_be_bytes(low.try_into().ok()?);
            high.iter().all(|byte| *byte == 0).then_some(low)
        }
        _ => octal(field),
    }
}

/// Octal digits between spaces and zero bytes; an empty field is zero.
fn octal(field: &[u8]) -> Option<u64> {
    let is_edge = |byte: &u8| matches!(byte, 0 | b' ');
    let digits = field.iter().skip_while(|byte| is_edge(byte));
    let mut digits = digits.peekable();
    let mut number = 0u64;
    while let Some(byte) = digits.next_if(|byte| !is_edge(byte)) {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 8)?;
        number = number.checked_mul(8)?.checked_add(u64::from(digit))?;
    }
    digits.all(is_edge).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for size in [0, 1, 0o777_7777_7777, 1 << 33, u64::MAX] {
            let Block::Header(header) = decode(&encode("data/ab/cd", size, 1_800_000_000)) else {
                panic!("{size} is not read back");
            };
            assert_eq!((header.size, header.kind), (size, MemberKind::File));
            assert_eq!(header.name, b"data/ab/cd");
        }
        let Block::Header(header) = decode(&encode("keys/", 0, 0)) else {
            panic!("a folder is not read back");
        };
        assert_eq!(header.kind, MemberKind::Folder);
    }

    #[test]
    fn broken_headers_are_refused() {
        let sound = encode("config", 100, 0);
        for position in (0..HEADER_BYTES).filter(|position| !CHECKSUM.contains(position)) {
            let mut block = sound;
            block[position] ^= 0x10;
            let is_broken = matches!(decode(&block), Block::Broken(_));
            assert!(is_broken, "byte {position}");
        }
    }
}
