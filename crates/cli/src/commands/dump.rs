//! `lifeboat dump`

use std::fs::File;
use std::io::{BufWriter, Write};

use lifeboat_engine::{dump, place};
use lifeboat_format::NodeKind;
use lifeboat_model::{ByteCount, ErrorKind, Extent};
use lifeboat_repository::{BlobReader, LockMode};

use crate::args::DumpArguments;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::select;

/// Writes one file of a snapshot, or a range of it.
pub(crate) fn run(context: &Context, arguments: &DumpArguments) -> Result<u8> {
    let repository = context.open()?;
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let snapshot = select::one(context, &repository, &arguments.snapshot, &arguments.point)?;
    let index = context.load_index_to_read(&repository)?;
    let mut reader = BlobReader::new(&repository, &index);
    let node = select::node_at(&mut reader, &snapshot.file.tree, &arguments.file)?;
    if node.kind != NodeKind::File {
        let message = format!(
            "\"{}\" is a {}, not a file",
            arguments.file,
            node.kind.word()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let content = place(&index, &node)?;
    let Some(range) = range(arguments, content.size)? else {
        return Ok(0);
    };
    let mut target: Box<dyn Write> = match &arguments.target {
        Some(path) => Box::new(BufWriter::new(File::create_new(path).map_err(|e| {
            Error::new(
                ErrorKind::of_io(&e),
                format!("cannot make {}: {e}", path.display()),
            )
        })?)),
        None => Box::new(std::io::stdout().lock()),
    };
    dump(&repository, &index, &content, range, &mut *target)?;
    Ok(0)
}

/// The bytes that were asked for; nothing when there are none.
fn range(arguments: &DumpArguments, size: u64) -> Result<Option<Extent>> {
    let parse = |text: &Option<String>| text.as_ref().map(|t| t.parse::<ByteCount>()).transpose();
    let offset = parse(&arguments.offset)?.map_or(0, |count| count.0);
    if offset > size {
        let message = format!("--offset {offset} lies behind the file's {size} bytes");
        return Err(Error::usage(message));
    }
    let rest = size - offset;
    let length = parse(&arguments.length)?.map_or(rest, |count| count.0.min(rest));
    Ok(Extent::at(offset, length))
}
