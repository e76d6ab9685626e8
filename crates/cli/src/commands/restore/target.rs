//! Restoring one disk to a file, a device, or standard output.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use lifeboat_disk::{
    BlockDeviceWriter, ClusterCompression, DiskReader, DiskWriter, ImageFormat, Leftover,
    OpenOptions, Qcow2Writer, Qcow2WriterOptions, RawWriter, RawWriterOptions, TargetMode,
    is_block_device, open_reader,
};
use lifeboat_engine::restore::{RestoreResult, apply, plan};
use lifeboat_engine::{
    Existing, MemoryBound, PlacedContent, RestorePlan, RestoreTarget, compare, dump, place,
};
use lifeboat_format::Node;
use lifeboat_model::{ErrorKind, Extent, ParseError};

use super::Source;
use crate::commands::front::Front;
use crate::error::{EXIT_VERIFY, Error, Result};

/// How a restored disk is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetFormat {
    Raw,
    Qcow2,
    Qcow2Compressed,
}

impl FromStr for TargetFormat {
    type Err = ParseError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseError> {
        match text {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            "qcow2-compressed" => Ok(Self::Qcow2Compressed),
            _ => Err(ParseError::new(
                "format",
                text,
                "write raw, qcow2 or qcow2-compressed",
            )),
        }
    }
}

impl TargetFormat {
    /// Ending of a file of this format.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 | Self::Qcow2Compressed => "qcow2",
        }
    }

    fn qcow2_options(self, mode: TargetMode) -> Qcow2WriterOptions {
        let compression = match self {
            Self::Qcow2Compressed => ClusterCompression::Zstd { level: 3 },
            Self::Raw | Self::Qcow2 => ClusterCompression::None,
        };
        Qcow2WriterOptions {
            mode,
            compression,
            ..Qcow2WriterOptions::new(mode)
        }
    }

    fn image(self) -> ImageFormat {
        match self {
            Self::Raw => ImageFormat::Raw,
            Self::Qcow2 | Self::Qcow2Compressed => ImageFormat::Qcow2,
        }
    }
}

/// What a restore did, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Restored {
    pub(super) written: u64,
    pub(super) zeros: u64,
    pub(super) equal: u64,
    pub(super) read: u64,
    pub(super) duration: Duration,
    pub(super) is_verified: bool,
}

impl Restored {
    /// Adds what another disk's restore did.
    pub(super) fn add(&mut self, other: Self) {
        self.written += other.written;
        self.zeros += other.zeros;
        self.equal += other.equal;
        self.read += other.read;
        self.duration += other.duration;
        self.is_verified = other.is_verified;
    }
}

/// Restores one disk.
pub(super) fn restore_disk(source: &Source<'_>, node: &Node, target: &Path) -> Result<Restored> {
    let content = place(source.index, node)?;
    tell_memory(source, &content);
    if target.as_os_str() == "-" {
        return to_stdout(source, &content);
    }
    if source.arguments.dry_run {
        return dry_run(source, content, target);
    }
    let (writer, existing) = open_target(source, content.size, target)?;
    let to = RestoreTarget {
        writer: &*writer,
        existing,
    };
    let done = write(source, content, to).map_err(|error| on_full(error, &*writer))?;
    let mut restored = Restored {
        written: done.written,
        zeros: done.zeros,
        equal: done.equal,
        read: done.read,
        duration: done.duration,
        is_verified: false,
    };
    if source.arguments.verify {
        drop(writer);
        // Placed once more: a copy would be in memory all the time.
        verify(source, &place(source.index, node)?, target)?;
        restored.is_verified = true;
    }
    Ok(restored)
}

fn tell_memory(source: &Source<'_>, content: &PlacedContent) {
    let lengths = content
        .chunks
        .iter()
        .map(|at| at.location.plaintext_length());
    let (blobs, threads) = (
        source.index.blob_count(),
        source.context.environment.threads,
    );
    let largest = lengths.max().unwrap_or(0);
    let bound = MemoryBound::of_restore(blobs, threads, content.chunks.len(), largest);
    let output = source.context.output;
    output.detail_aside(format!("memory: {bound}"));
}

fn write(
    source: &Source<'_>,
    content: PlacedContent,
    to: RestoreTarget<'_>,
) -> Result<RestoreResult> {
    let _display = source.context.show_progress()?;
    let plan = plan(source.repository, content, to)?;
    source.context.output.detail(told(&plan))?;
    Ok(apply(source.repository, source.index, &plan, to)?)
}

/// Frees the room at once: others need it, and an unfinished disk is no use to anybody.
fn on_full(error: Error, writer: &dyn DiskWriter) -> Error {
    if !error.is_full() {
        return error;
    }
    match writer.give_up() {
        Ok(()) => error.add("; make room there, or choose another target, and run it again"),
        Err(left) => error.add(&format!("; and {}", crate::error::chain(&left))),
    }
}

fn told(plan: &RestorePlan) -> String {
    format!(
        "plan: {} chunks in {} requests, {} chunks are equal already",
        plan.chunk_count(),
        plan.request_count(),
        plan.equal_chunks
    )
}

fn to_stdout(source: &Source<'_>, content: &PlacedContent) -> Result<Restored> {
    let all = Extent::new(0, content.size);
    let mut stdout = std::io::stdout().lock();
    if let Some(all) = all {
        dump(source.repository, source.index, content, all, &mut stdout)?;
    }
    Ok(Restored {
        written: content.size,
        ..Restored::default()
    })
}

/// Opens the target; says whether what it holds is worth comparing.
fn open_target(
    source: &Source<'_>,
    size: u64,
    target: &Path,
) -> Result<(Box<dyn DiskWriter>, Existing)> {
    let arguments = source.arguments;
    if is_block_device(target) {
        if source.format != TargetFormat::Raw {
            return Err(Error::usage(
                "a device takes a raw disk: leave --to-format out",
            ));
        }
        if !arguments.overwrite && !arguments.in_place {
            let message = format!(
                "{} is a device: its content will be lost, add --overwrite or --in-place",
                target.display()
            );
            return Err(Error::with_code(crate::error::EXIT_REFUSED, message));
        }
        let existing = if arguments.in_place {
            Existing::Compare
        } else {
            Existing::Ignore
        };
        return Ok((Box::new(BlockDeviceWriter::open(target, size)?), existing));
    }
    match source.format {
        TargetFormat::Raw => {
            let options = RawWriterOptions {
                mode: mode(source),
                leftover: Leftover::Keep,
            };
            let writer = RawWriter::create(target, size, options).map_err(hint)?;
            let is_resumed = writer.resumed();
            if is_resumed {
                source
                    .context
                    .output
                    .tell("going on where an interrupted restore ended")?;
            }
            let is_compared = arguments.in_place || is_resumed;
            let existing = if is_compared {
                Existing::Compare
            } else {
                Existing::Ignore
            };
            Ok((Box::new(writer), existing))
        }
        TargetFormat::Qcow2 | TargetFormat::Qcow2Compressed => {
            if arguments.in_place {
                return Err(Error::usage(
                    "--in-place is only for raw targets: use --overwrite",
                ));
            }
            let options = source.format.qcow2_options(mode(source));
            let writer = Qcow2Writer::create(target, size, &options).map_err(hint)?;
            Ok((Box::new(writer), Existing::Ignore))
        }
    }
}

/// Says which flags deal with a target that is there already.
fn hint(error: lifeboat_disk::Error) -> Error {
    let exists = error.kind() == ErrorKind::Exists;
    let error = Error::from(error);
    if !exists {
        return error;
    }
    let flags = "--overwrite replaces an existing target, --in-place rewrites what differs";
    Error::with_code(error.code(), format!("{error} ({flags})"))
}

fn mode(source: &Source<'_>) -> TargetMode {
    match (source.arguments.overwrite, source.arguments.in_place) {
        (_, true) => TargetMode::InPlace,
        (true, false) => TargetMode::Replace,
        (false, false) => TargetMode::New,
    }
}

/// Reads the finished target and compares it with the snapshot.
fn verify(source: &Source<'_>, content: &PlacedContent, target: &Path) -> Result<()> {
    let reader = open_reader(target, source.format.image(), &OpenOptions::default())?;
    let reader = Front::of(reader, content.size, target);
    let display = source.context.show_progress()?;
    let differing = compare(source.repository.environment(), content, &reader)?;
    drop(display);
    match differing.iter().next() {
        None => Ok(()),
        Some(first) => Err(Error::with_code(
            EXIT_VERIFY,
            format!(
                "{} differs from the snapshot in {} ranges, the first at {}: \
                 its storage does not keep what is written to it",
                target.display(),
                differing.count(),
                first.start()
            ),
        )),
    }
}

/// Plans against what is there, and writes nothing.
fn dry_run(source: &Source<'_>, content: PlacedContent, target: &Path) -> Result<Restored> {
    let existing = if source.arguments.in_place {
        let reader = open_reader(target, source.format.image(), &OpenOptions::default())?;
        Some(View { reader })
    } else {
        None
    };
    let nothing = View::nothing(content.size);
    let to = match &existing {
        Some(view) => RestoreTarget {
            writer: view,
            existing: Existing::Compare,
        },
        None => RestoreTarget {
            writer: &nothing,
            existing: Existing::Ignore,
        },
    };
    let display = source.context.show_progress()?;
    let plan = plan(source.repository, content, to)?;
    drop(display);
    source.context.output.detail(told(&plan))?;
    Ok(Restored {
        written: plan.write_bytes,
        zeros: plan.zeros.byte_count(),
        equal: plan.equal_bytes,
        read: plan.read_bytes,
        ..Restored::default()
    })
}

/// A target that can only be looked at.
struct View {
    reader: std::sync::Arc<dyn DiskReader>,
}

impl View {
    fn nothing(size: u64) -> Self {
        Self {
            reader: std::sync::Arc::new(Nothing { size }),
        }
    }
}

/// A disk of zeros.
struct Nothing {
    size: u64,
}

impl DiskReader for Nothing {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, _: u64, buffer: &mut [u8]) -> lifeboat_disk::Result<()> {
        buffer.fill(0);
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> lifeboat_disk::Result<lifeboat_disk::MappedExtent> {
        let extent = Extent::new(offset, self.size).expect("callers ask below the disk's size");
        Ok(lifeboat_disk::MappedExtent {
            extent,
            state: lifeboat_disk::ExtentState::Zero,
        })
    }
}

impl DiskWriter for View {
    fn size(&self) -> u64 {
        self.reader.size()
    }

    fn write_at(&self, _: u64, _: &[u8]) -> lifeboat_disk::Result<()> {
        unreachable!("a plan writes nothing")
    }

    fn zero_at(&self, _: u64, _: u64) -> lifeboat_disk::Result<()> {
        unreachable!("a plan writes nothing")
    }

    fn finish(&self) -> lifeboat_disk::Result<()> {
        unreachable!("a plan is not applied to a view")
    }

    fn read_back(&self, offset: u64, buffer: &mut [u8]) -> lifeboat_disk::Result<()> {
        let end = offset + buffer.len() as u64;
        if end <= self.reader.size() {
            return self.reader.read_at(offset, buffer);
        }
        buffer.fill(0xff);
        Ok(())
    }
}
