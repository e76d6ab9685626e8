//! The network block device protocol, both ends, and the file of an overlay.
//!
//! For the two ends the input is all that the other side sends. An overlay's input is the file,
//! whose header and first pages are sealed anew; a hole makes it as long as its header says.

use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;

use lifeboat_model::Extent;
use lifeboat_nbd::{
    Access, Client, ClientOptions, Durability, Export, Exports, Order, Overlay, Result, RetryRule,
    ServerOptions, Zeroing, serve_stream,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::memory_file::with_file;

/// Bytes of the disk that the server gives.
const SIZE: u64 = 256 << 10;
/// Pieces and extents that are asked for: answers of a hostile server can be endless.
const ANSWERS_MAX: usize = 64;
/// Bytes of an overlay's header and of each page of bits; the last eight are a checksum.
const PAGE_BYTES: usize = 4096;
/// Largest disk of an overlay that is tried, in bytes.
const OVERLAY_BYTES_MAX: u64 = 64 << 20;

/// Zeros that take every write.
struct Zeros(u64);

impl Export for Zeros {
    fn size(&self) -> u64 {
        self.0
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        assert!(
            offset + buffer.len() as u64 <= self.0,
            "reads end with the disk"
        );
        buffer.fill(0);
        Ok(())
    }

    fn access(&self) -> Access {
        Access::Writable
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        assert!(
            offset + bytes.len() as u64 <= self.0,
            "writes end with the disk"
        );
        Ok(())
    }

    fn zero(&self, range: Extent, _: Zeroing) -> Result<()> {
        assert!(range.end() <= self.0, "zeros end with the disk");
        Ok(())
    }

    fn trim(&self, range: Extent) -> Result<()> {
        self.zero(range, Zeroing::MayFreeRoom)
    }
}

/// Everything that a client can send.
pub(crate) fn server(input: &[u8]) {
    let exports = Exports::new();
    let published = exports.publish("disk", Arc::new(Zeros(SIZE)));
    published.unwrap_or_else(|error| panic!("{error}"));
    let options = ServerOptions {
        workers: 1,
        ..ServerOptions::default()
    };
    let source = Cursor::new(input.to_vec());
    drop(serve_stream(source, io::sink(), &exports, &options));
}

/// What a server sends; what we send goes nowhere.
struct Sent(Cursor<Vec<u8>>);

impl Read for Sent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that a server can send, to a client that uses all it can.
pub(crate) fn client(input: &[u8]) {
    let options = ClientOptions {
        contexts: vec!["base:allocation".into(), "qemu:dirty-bitmap:b".into()],
        window: 2,
        request_bytes: 64 << 10,
        retry: RetryRule {
            attempts_max: 0,
            ..RetryRule::default()
        },
        ..ClientOptions::default()
    };
    let sent = Sent(Cursor::new(input.to_vec()));
    let Ok(client) = Client::over(sent, "disk", options) else {
        return;
    };
    let mut buffer = [0; 4096];
    drop(client.read_into(0, &mut buffer));
    let all = Extent::new(0, client.size().min(1 << 20));
    let reads = client.reads(all, Order::Arrival);
    for piece in reads.take(ANSWERS_MAX).flatten() {
        assert!(piece.offset() + piece.len() as u64 <= client.size());
    }
    let contexts = client.facts().contexts.clone();
    let contexts: Vec<_> = contexts.iter().map(String::as_str).collect();
    if let Some(Ok(mappings)) = all.map(|all| client.extents(&contexts, all)) {
        let mut end = 0;
        for mapped in mappings.take(ANSWERS_MAX).flatten() {
            assert_eq!(mapped.extent.start(), end, "extents follow each other");
            end = mapped.extent.end();
        }
    }
    drop(client.write_at(0, &buffer, Durability::Cached));
    drop(client.flush());
}

/// The file of an overlay: header, pages, content.
pub(crate) fn overlay(input: &[u8]) {
    // The disk's size and name, where a header has them.
    let field = |at: usize| input.get(at..at + 8)?.try_into().ok();
    let size = field(16).map_or(0, u64::from_le_bytes);
    let name = input.get(24..56).and_then(|name| name.try_into().ok());
    if size > OVERLAY_BYTES_MAX {
        return;
    }
    let mut file = input.to_vec();
    file.resize(file.len().max(3 * PAGE_BYTES), 0);
    for page in file.chunks_exact_mut(PAGE_BYTES).take(3) {
        let (content, sum) = page.split_at_mut(PAGE_BYTES - 8);
        sum.copy_from_slice(&xxh3_64(content).to_le_bytes());
    }
    // Disks of this size have one page of bits: two copies, then whole blocks.
    with_file(&file, (64 << 10) + size, |path| {
        let base = Arc::new(Zeros(size));
        let Ok(overlay) = Overlay::open(path, base, name.unwrap_or_default()) else {
            return;
        };
        let mut buffer = [0; 4096];
        let length = size.min(4096) as usize;
        drop(overlay.read_at(0, &mut buffer[..length]));
        let end = overlay.changed().iter().last().map_or(0, Extent::end);
        assert!(end <= size, "changes end with the disk");
        drop(overlay.write_at(size - length as u64, &buffer[..length]));
        drop(overlay.flush());
    });
}
