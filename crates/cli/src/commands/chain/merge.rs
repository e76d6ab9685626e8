//! `lifeboat chain merge`

use std::path::Path;

use lifeboat_disk::{
    ClusterCompression, DiskReader, ImageFormat, Qcow2Writer, Qcow2WriterOptions, TargetMode,
    open_reader,
};
use lifeboat_engine::{Transferred, differs, transfer};
use lifeboat_model::ByteCount;
use serde::Serialize;

use crate::context::Context;
use crate::error::{EXIT_VERIFY, Error, Result};
use crate::tables::span;

/// zstd level of compressed clusters.
pub(super) const LEVEL: i32 = 3;

/// What was asked for.
pub(super) struct Request<'a> {
    pub(super) file: &'a Path,
    pub(super) target: &'a Path,
    pub(super) allowed: Option<&'a Path>,
    pub(super) is_compressed: bool,
}

#[derive(Serialize)]
struct SummaryLine {
    target: String,
    size: u64,
    bytes_read: u64,
    bytes_written: u64,
    file_size: u64,
    total_duration: f64,
    verified: bool,
}

/// How clusters of new images are written.
pub(super) fn writer_options(is_compressed: bool) -> Qcow2WriterOptions {
    let mut options = Qcow2WriterOptions::new(TargetMode::New);
    if is_compressed {
        options.compression = ClusterCompression::Zstd { level: LEVEL };
    }
    options
}

/// Reads through a chain, writes one image, and compares both at the end.
pub(super) fn run(context: &Context, request: &Request<'_>) -> Result<u8> {
    let environment = &context.environment;
    let folder = request.allowed.unwrap_or(super::folder_of(request.file));
    let options = super::confined_to(folder);
    let source = open_reader(request.file, ImageFormat::Qcow2, &options)?;
    let writer_options = writer_options(request.is_compressed);
    let writer = Qcow2Writer::create(request.target, source.size(), &writer_options)?;
    let start = environment.clock.monotonic();
    let display = context.show_progress()?;
    let transferred = transfer(environment, &*source, &writer).inspect_err(|_| {
        // What counts is the failure itself.
        let _ = writer.abort();
    })?;
    drop(writer);
    let merged = open_reader(request.target, ImageFormat::Qcow2, &Default::default())?;
    let difference = differs(environment, &*source, &*merged)?;
    drop(display);
    if let Some(at) = difference {
        let message = format!(
            "{} differs from the chain at {at}: its storage does not keep what is written to it, \
             or the chain was changed meanwhile",
            request.target.display()
        );
        return Err(Error::with_code(EXIT_VERIFY, message));
    }
    let duration = environment.clock.monotonic().saturating_sub(start);
    report(context, request, &*source, transferred, duration)
}

fn report(
    context: &Context,
    request: &Request<'_>,
    source: &dyn DiskReader,
    transferred: Transferred,
    duration: std::time::Duration,
) -> Result<u8> {
    let file_size = std::fs::metadata(request.target).map_or(0, |found| found.len());
    let target = request.target.display();
    if context.output.is_json() {
        context.output.message(
            "summary",
            &SummaryLine {
                target: target.to_string(),
                size: source.size(),
                bytes_read: transferred.read,
                bytes_written: transferred.written,
                file_size,
                total_duration: duration.as_secs_f64(),
                verified: true,
            },
        )?;
        return Ok(0);
    }
    context.output.tell(format!(
        "read {} of {}, {} of it not zero, in {}",
        ByteCount(transferred.read),
        ByteCount(source.size()),
        ByteCount(transferred.written),
        span(duration)
    ))?;
    context.output.result(format!(
        "merged into {target}, {}; compared, every byte is equal",
        ByteCount(file_size)
    ))?;
    Ok(0)
}
