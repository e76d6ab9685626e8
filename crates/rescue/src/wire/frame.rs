//! Frames on a stream.

use std::io::{self, Read, Write};

/// The longest body of a frame: an entry with all the attributes Linux allows, and some room.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Writes one frame.
///
/// Errors: `InvalidInput` for a body that is empty or too long; nothing is written then.
pub fn write_frame(stream: &mut impl Write, body: &[u8]) -> io::Result<()> {
    if body.is_empty() || body.len() > FRAME_BYTES_MAX {
        let text = format!("a frame of {} bytes", body.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    stream.write_all(&(body.len() as u32).to_le_bytes())?;
    stream.write_all(body)
}

/// Reads one body into `body`, whose memory is used again.
///
/// Errors: `InvalidData` for a length out of bounds, `UnexpectedEof` at the stream's end.
pub fn read_frame(stream: &mut impl Read, body: &mut Vec<u8>) -> io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length == 0 || length > FRAME_BYTES_MAX {
        let text = format!("a frame of {length} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    body.resize(length, 0);
    stream.read_exact(body)
}
