//! `lifeboat list` and `lifeboat cat`

use lifeboat_backend::{FileHandle, FileKind};
use lifeboat_format::{BlobId, BlobKind};
use lifeboat_model::{ErrorKind, Id, ParseError};
use lifeboat_repository::{BlobReader, LockMode, Repository, read_header, snapshots};
use serde_json::Value;

use crate::args::{CatArguments, ListArguments};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::select;

fn file_kind(word: &str) -> Option<FileKind> {
    match word {
        "snapshot" | "snapshots" => Some(FileKind::Snapshot),
        "pack" | "packs" => Some(FileKind::Pack),
        "index" => Some(FileKind::Index),
        "key" | "keys" => Some(FileKind::Key),
        "lock" | "locks" => Some(FileKind::Lock),
        _ => None,
    }
}

/// Lists the repository's files of one kind.
pub(crate) fn list(context: &Context, arguments: &ListArguments) -> Result<u8> {
    let repository = context.open()?;
    let _locked = context.lock(&repository, LockMode::Shared)?;
    if arguments.kind == "blobs" {
        for blob in context.load_index(&repository)?.blobs() {
            context
                .output
                .result(format!("{} {}", blob.kind, blob.id))?;
        }
        return Ok(0);
    }
    let kind = file_kind(&arguments.kind).ok_or_else(|| {
        let rule = "write snapshots, packs, index, keys, locks or blobs";
        Error::from(ParseError::new("kind of file", &arguments.kind, rule))
    })?;
    for file in repository.list(kind)? {
        context.output.result(file.id.to_string())?;
    }
    Ok(0)
}

/// Prints an internal object.
pub(crate) fn cat(context: &Context, arguments: &CatArguments) -> Result<u8> {
    let repository = context.open()?;
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let id = || {
        let wanted = format!("'lifeboat cat {}' needs an id", arguments.kind);
        arguments.id.as_deref().ok_or_else(|| Error::usage(wanted))
    };
    match arguments.kind.as_str() {
        "config" => pretty(context, &repository.config().to_json()),
        "masterkey" => Err(Error::usage(
            "the master key is never printed: 'lifeboat key add' adds a password instead",
        )),
        "blob" => blob(context, &repository, id()?),
        "tree" => tree(context, &repository, id()?),
        "pack" => pack(context, &repository, id()?),
        word => {
            let kind = file_kind(word).ok_or_else(|| {
                let rule = "write config, snapshot, index, key, lock, pack, blob or tree";
                Error::from(ParseError::new("kind of object", word, rule))
            })?;
            let id = find_file(&repository, kind, id()?)?;
            let json = repository.load_unpacked(FileHandle { kind, id })?;
            let value: Value = serde_json::from_slice(&json).map_err(|e| {
                Error::new(ErrorKind::Corrupt, format!("{word} {id} is not JSON: {e}"))
            })?;
            pretty(context, &value)
        }
    }
}

fn pretty(context: &Context, value: &Value) -> Result<u8> {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    context.output.result(text)?;
    Ok(0)
}

fn find_file(repository: &Repository, kind: FileKind, prefix: &str) -> Result<Id> {
    if kind == FileKind::Snapshot {
        let all = snapshots::list_tolerant(repository)?.0;
        return Ok(select::pick(&all, prefix)?.id.id());
    }
    let files = repository.list(kind)?;
    let mut matches = files.iter().filter(|file| file.id.starts_with(prefix));
    match (matches.next(), matches.next()) {
        (Some(one), None) => Ok(one.id),
        (None, _) => Err(Error::new(
            ErrorKind::NotFound,
            format!("no {kind} starts with {prefix}"),
        )),
        _ => Err(Error::usage(format!(
            "several {kind} files start with {prefix}: write more digits"
        ))),
    }
}

fn blob(context: &Context, repository: &Repository, id: &str) -> Result<u8> {
    let id: BlobId = id.parse()?;
    let index = context.load_index(repository)?;
    let mut reader = BlobReader::new(repository, &index);
    let kind = if index.contains(BlobKind::Data, &id) {
        BlobKind::Data
    } else {
        BlobKind::Tree
    };
    let bytes = reader.get(kind, &id)?;
    std::io::Write::write_all(&mut std::io::stdout(), &bytes)?;
    Ok(0)
}

/// A tree by its id, or as `SNAPSHOT:PATH`.
fn tree(context: &Context, repository: &Repository, text: &str) -> Result<u8> {
    let index = context.load_index(repository)?;
    let mut reader = BlobReader::new(repository, &index);
    let id = match text.parse::<BlobId>() {
        Ok(id) => id,
        Err(_) => {
            let all = snapshots::list_tolerant(repository)?.0;
            let root = select::pick(&all, text)?.file.tree;
            match text.split_once(':').map(|(_, path)| path.trim_matches('/')) {
                None | Some("") => root,
                Some(path) => select::node_at(&mut reader, &root, path)?
                    .subtree
                    .ok_or_else(|| {
                        Error::new(ErrorKind::Invalid, format!("\"{path}\" is not a folder"))
                    })?,
            }
        }
    };
    let bytes = reader.get(BlobKind::Tree, &id)?;
    std::io::Write::write_all(&mut std::io::stdout(), &bytes)?;
    Ok(0)
}

fn pack(context: &Context, repository: &Repository, prefix: &str) -> Result<u8> {
    let id = find_file(repository, FileKind::Pack, prefix)?;
    let file = FileHandle {
        kind: FileKind::Pack,
        id,
    };
    let size = repository.backend().size(file)?;
    for entry in read_header(repository, id.into(), size)? {
        let (kind, offset, length) = (entry.kind, entry.offset, entry.length);
        let plain = entry
            .uncompressed_length
            .map(|n| format!(" ({n} uncompressed)"));
        let plain = plain.unwrap_or_default();
        context.output.result(format!(
            "{kind} {} at {offset}, {length} bytes{plain}",
            entry.id
        ))?;
    }
    Ok(0)
}
