//! Disks of these tests: files with holes, and exports over them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_model::{ErrorKind, Extent};
use lifeboat_nbd::{
    Access, Allocation, BlockSizes, Error, Export, Exports, Listener, Result, Server,
    ServerOptions, Stated, Zeroing,
};
use lifeboat_testkit::SeededEntropy;
use rustix::fs::{FallocateFlags, SeekFrom};

/// The seed of this run: `LIFEBOAT_SEED`, or always the same.
pub(crate) fn dice() -> SeededEntropy {
    let seed = std::env::var("LIFEBOAT_SEED").ok();
    let seed = seed.map_or(20_261_121, |text| text.parse().unwrap());
    println!("LIFEBOAT_SEED={seed}");
    SeededEntropy::new(seed)
}

/// A range of whole `grain`s within `size` bytes.
pub(crate) fn range(dice: &SeededEntropy, size: u64, grain: u64, length_max: u64) -> (u64, u64) {
    let start = dice.below(size / grain) * grain;
    let length = (1 + dice.below(length_max / grain)) * grain;
    (start, length.min(size - start))
}

/// Writes a sparse file: data and holes of many lengths; gives its content.
pub(crate) fn sparse(path: &Path, size: u64, dice: &SeededEntropy) -> Vec<u8> {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    let mut content = vec![0; size as usize];
    for _ in 0..24 {
        let (start, length) = range(dice, size, 4096, size / 20);
        let bytes = dice.bytes(length as usize);
        file.write_all_at(&bytes, start).unwrap();
        content[start as usize..][..length as usize].copy_from_slice(&bytes);
    }
    content
}

/// A raw file as an export.
pub(crate) struct RawFile {
    file: File,
    path: PathBuf,
    size: u64,
    access: Access,
    pub(crate) sizes: BlockSizes,
    /// Reads of this range fail.
    pub(crate) broken: Option<Extent>,
    pub(crate) flushes: AtomicU64,
}

impl RawFile {
    pub(crate) fn open(path: &Path, access: Access) -> Self {
        let file = OpenOptions::new()
            .read(true)
            .write(access == Access::Writable)
            .open(path)
            .unwrap();
        Self {
            size: file.metadata().unwrap().len(),
            file,
            path: path.to_owned(),
            access,
            sizes: BlockSizes::default(),
            broken: None,
            flushes: AtomicU64::new(0),
        }
    }

    fn error(&self, cause: impl Into<io::Error>) -> Error {
        Error::io("using", self.path.display(), cause)
    }

    fn seek(&self, to: SeekFrom) -> Result<u64> {
        match rustix::fs::seek(&self.file, to) {
            Err(rustix::io::Errno::NXIO) => Ok(self.size),
            found => found.map_err(|cause| self.error(cause)),
        }
    }

    fn stated(&self, range: Extent) -> Result<Stated> {
        let data = self.seek(SeekFrom::Data(range.start()))?;
        let (end, allocation) = match data > range.start() {
            true => (data, Allocation::Hole),
            false => (self.seek(SeekFrom::Hole(range.start()))?, Allocation::Data),
        };
        let extent = Extent::new(range.start(), end.min(range.end())).unwrap();
        Ok(Stated { extent, allocation })
    }
}

impl Export for RawFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let range = Extent::at(offset, buffer.len() as u64).unwrap();
        if let Some(broken) = self.broken.and_then(|broken| broken.intersect(range)) {
            let error = Error::new(ErrorKind::Io, "reading", "a broken disk");
            return Err(error.at(broken.start()).seen("the platter is scratched"));
        }
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|cause| self.error(cause))
    }

    fn description(&self) -> String {
        "a file of the tests".into()
    }

    fn block_sizes(&self) -> BlockSizes {
        self.sizes
    }

    fn access(&self) -> Access {
        self.access
    }

    fn extents<'a>(&'a self, range: Extent) -> Box<dyn Iterator<Item = Result<Stated>> + 'a> {
        let mut at = range.start();
        Box::new(std::iter::from_fn(move || {
            let stated = self.stated(Extent::new(at, range.end())?);
            at = stated.as_ref().map_or(range.end(), |it| it.extent.end());
            Some(stated)
        }))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|cause| self.error(cause))
    }

    fn zero(&self, range: Extent, _: Zeroing) -> Result<()> {
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, mode, range.start(), range.len())
            .map_err(|cause| self.error(cause))
    }

    fn trim(&self, range: Extent) -> Result<()> {
        self.zero(range, Zeroing::MayFreeRoom)
    }

    fn flush(&self) -> Result<()> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        self.file.sync_data().map_err(|cause| self.error(cause))
    }
}

/// Serves one disk under a name, at a socket in `folder`.
pub(crate) fn serve(folder: &Path, export: Arc<dyn Export>, options: ServerOptions) -> Server {
    let exports = Exports::new();
    exports.publish("disk", export).unwrap();
    let listener = Listener::unix(&folder.join("ours.sock")).unwrap();
    Server::start(listener, exports, options).unwrap()
}
