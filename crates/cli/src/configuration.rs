//! The files of the configuration, found and read.

mod addresses;
mod schema;
mod secret;

pub(crate) use schema::schema;
pub(crate) use secret::{first_line, resolve};

use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_config::{Finding, Loaded, Severity, SourceFile, Spot, read, read_partly};
use lifeboat_model::ErrorKind;
use serde::de::DeserializeOwned;

use crate::CheckPlatform;
use crate::error::{Error, Result};

/// Limits: bytes of one file, and files that are included.
const FILE_BYTES_MAX: u64 = 16 << 20;
const FILES_MAX: usize = 1000;

/// Reads a configuration with the files that it includes.
///
/// `J` is how jobs are read: as `Job` with all values checked, or as `JobText` as they are written.
/// `check` looks at addresses of platforms.
///
/// Errors: those of the files; what is wrong inside them is in the result.
pub(crate) fn load<J: DeserializeOwned>(path: &Path, check: CheckPlatform) -> Result<Loaded<J>> {
    load_with_files(path, check).map(|(loaded, _)| loaded)
}

/// The same, with the files as they were read; the first is `path`.
pub(crate) fn load_with_files<J: DeserializeOwned>(
    path: &Path,
    check: CheckPlatform,
) -> Result<(Loaded<J>, Vec<SourceFile>)> {
    let mut unread = Vec::new();
    let mut files = vec![source(path, &mut unread)?];
    let loaded = read::<J>(&files);
    let folder = path.parent().unwrap_or(Path::new("."));
    for include in &loaded.includes {
        if let Err(error) = add(&mut files, &folder.join(&include.pattern), &mut unread) {
            unread.push(Finding {
                spot: include.spot.clone(),
                severity: Severity::Error,
                message: format!("include: {error}"),
                suggestion: Some("write that file, or take it out of include".to_owned()),
            });
        }
    }
    let mut loaded = match files.len() == 1 && unread.is_empty() {
        true => loaded,
        false => read_partly(&files, unread),
    };
    addresses::check(&mut loaded, check);
    Ok((loaded, files))
}

/// Adds the files of a pattern; `unread` are those that could be read in part.
fn add(files: &mut Vec<SourceFile>, pattern: &Path, unread: &mut Vec<Finding>) -> Result<()> {
    for found in matching(pattern)? {
        if files.len() > FILES_MAX {
            let message = format!(
                "{}: more than {FILES_MAX} files are included",
                pattern.display()
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        files.push(source(&found, unread)?);
    }
    Ok(())
}

fn source(path: &Path, unread: &mut Vec<Finding>) -> Result<SourceFile> {
    let failed = |e: std::io::Error| {
        let message = format!("cannot read the configuration {}: {e}", path.display());
        Error::new(ErrorKind::of_io(&e), message)
    };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        let message = format!(
            "{} has more than 16 MiB, it is no configuration; --config names another",
            path.display()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let name = path.display().to_string();
    let text = match String::from_utf8(fs::read(path).map_err(failed)?) {
        Ok(text) => text,
        Err(error) => {
            unread.push(no_text(
                &name,
                error.as_bytes(),
                error.utf8_error().valid_up_to(),
            ));
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        }
    };
    Ok(SourceFile { name, text })
}

/// Bytes that are no text from `valid` on.
fn no_text(file: &str, bytes: &[u8], valid: usize) -> Finding {
    let text = String::from_utf8_lossy(&bytes[..valid]);
    let last = text.rsplit('\n').next().unwrap_or_default();
    Finding {
        spot: Spot {
            file: file.to_owned(),
            line: text.matches('\n').count() + 1,
            column: last.chars().count() + 1,
        },
        severity: Severity::Error,
        message: "it is no text in UTF-8 from here on".to_owned(),
        suggestion: Some("save it as UTF-8".to_owned()),
    }
}

/// The files of a pattern, sorted by name: its last part may hold one `*`.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy();
    let Some((start, end)) = name.split_once('*') else {
        return Ok(vec![pattern.to_owned()]);
    };
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| {
            let message = format!("cannot list the folder {}: {e}", folder.display());
            Error::new(ErrorKind::of_io(&e), message)
        })?,
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<_> = paths
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_long = name.len() >= start.len() + end.len();
            is_long && name.starts_with(start) && name.ends_with(end) && path.is_file()
        })
        .collect();
    found.sort();
    Ok(found)
}
