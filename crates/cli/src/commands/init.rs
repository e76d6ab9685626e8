//! `lifeboat init`

use lifeboat_chunker::ChunkSizes;
use lifeboat_format::Settings;
use lifeboat_model::{ByteCount, ParseError};
use lifeboat_repository::{InitOptions, WriteOptions};
use serde::Serialize;

use crate::args::InitArguments;
use crate::context::Context;
use crate::error::{Error, Result};

#[derive(Serialize)]
struct Initialized {
    id: String,
    repository: String,
}

/// Makes a new repository.
pub(crate) fn run(context: &Context, arguments: &InitArguments) -> Result<u8> {
    let mut options = InitOptions::default();
    let mut sizes = match &arguments.chunk_sizes {
        Some(text) => parse_sizes(text)?,
        None => ChunkSizes::DEFAULT,
    };
    if arguments.copy_chunker_params {
        let from = &arguments.from;
        let place = from.from_repository.as_ref().ok_or_else(|| {
            Error::usage("--copy-chunker-params needs --from-repo to say from where")
        })?;
        let source = context.open_source(place, from)?;
        options.polynomial = Some(source.config().chunker_polynomial);
        sizes = context.chunk_sizes(&source);
    }
    options.settings = Some(settings(context, sizes)?);
    let repository = context.init(&options)?;
    context.hold_reserve(&repository);
    let (id, place) = (
        repository.config().id.to_string(),
        repository.backend().location(),
    );
    if context.output.is_json() {
        context.output.message(
            "initialized",
            &Initialized {
                id,
                repository: place,
            },
        )?;
    } else {
        context
            .output
            .tell(format!("made the repository {} at {place}", &id[..10]))?;
        context
            .output
            .tell("keep its password safe: without it the data cannot be read")?;
    }
    Ok(0)
}

fn settings(context: &Context, sizes: ChunkSizes) -> Result<Settings> {
    let mut pack_size = WriteOptions::default().pack_bytes as u64;
    if let Some(text) = &context.global.pack_size {
        ByteCount(pack_size) = text.parse()?;
    }
    if !(4 << 20..=128 << 20).contains(&pack_size) {
        return Err(Error::usage("--pack-size must be between 4M and 128M"));
    }
    Ok(Settings {
        chunk_size_min: sizes.min(),
        chunk_size_gap: sizes.gap(),
        chunk_size_max: sizes.max(),
        pack_size: pack_size as u32,
    })
}

fn parse_sizes(text: &str) -> Result<ChunkSizes> {
    let rule = "write three sizes like 64K,64K,1M: multiples of 4K, the first below the last, \
                the last at most 16M";
    let wrong = || Error::from(ParseError::new("list of chunk sizes", text, rule));
    let sizes: Vec<u32> = text
        .split(',')
        .map(|part| {
            let ByteCount(bytes) = part.parse().map_err(|_| wrong())?;
            u32::try_from(bytes).map_err(|_| wrong())
        })
        .collect::<Result<_>>()?;
    match sizes[..] {
        [min, gap, max] => ChunkSizes::new(min, gap, max).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}
