//! `lifeboat config import`

use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_config::{Finding, ImportKind, Imported, SourceFile, import, kind_of};
use lifeboat_control::Job;
use lifeboat_model::ErrorKind;

use super::{print_text, tell};
use crate::args::ConfigImportArguments;
use crate::context::Context;
use crate::error::{EXIT_WRONG, Error, Result};
use crate::tables::count;
use crate::whole_file;

/// Limit: bytes of a file with settings.
const BYTES_MAX: u64 = 8 << 20;

/// Makes a configuration of another program's settings.
pub(super) fn run(context: &Context, arguments: &ConfigImportArguments) -> Result<u8> {
    let source = read(&arguments.file)?;
    let kind = kind(arguments, &source)?;
    let target = arguments
        .output
        .as_deref()
        .unwrap_or(&context.global.config);
    let folder = folder_of(target)?;
    let secrets = folder.to_str().ok_or_else(|| {
        let message = format!("the folder {} has no readable name", folder.display());
        Error::new(ErrorKind::Invalid, message)
    })?;
    match import::<Job>(&source, kind, secrets) {
        Ok(imported) => write(context, arguments, &folder, &imported),
        Err(findings) => refuse(context, &findings),
    }
}

fn read(path: &Path) -> Result<SourceFile> {
    let failed = |e: std::io::Error| {
        let message = format!("cannot read the settings {}: {e}", path.display());
        Error::new(ErrorKind::of_io(&e), message)
    };
    if fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
        let message = format!(
            "{} has more than 8 MiB, these are no settings",
            path.display()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let name = path.display().to_string();
    Ok(SourceFile { name, text })
}

fn kind(arguments: &ConfigImportArguments, source: &SourceFile) -> Result<ImportKind> {
    if let Some(word) = &arguments.kind {
        return Ok(word.parse()?);
    }
    kind_of(&source.text).ok_or_else(|| {
        let message = format!(
            "{}: it looks like none of the settings that are known; say what it is with --kind \
             variables, restic-env or opennebula",
            source.name
        );
        Error::new(ErrorKind::Invalid, message)
    })
}

fn refuse(context: &Context, findings: &[Finding]) -> Result<u8> {
    for finding in findings {
        tell(context, finding)?;
    }
    let errors = count(findings.len(), "error");
    context
        .output
        .tell(format!("{errors}; nothing was written"))?;
    Ok(EXIT_WRONG)
}

fn write(
    context: &Context,
    arguments: &ConfigImportArguments,
    folder: &Path,
    imported: &Imported,
) -> Result<u8> {
    let output = context.output;
    let secrets: Vec<(PathBuf, &[u8])> = imported
        .secrets
        .iter()
        .map(|it| (folder.join(&it.file), it.secret.expose()))
        .collect();
    let Some(target) = &arguments.output else {
        tell_notes(context, imported)?;
        for (path, _) in &secrets {
            output.warn(format!(
                "a secret belongs into {}: with --output it is written there",
                path.display()
            ));
        }
        return print_text(context, &imported.text);
    };
    let files = secrets.iter().map(|(path, _)| path.as_path());
    if files
        .clone()
        .any(|path| path.file_name() == target.file_name())
    {
        let message = format!(
            "a secret goes into a file that is named like {}: write the configuration to another",
            target.display()
        );
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    for path in files.chain([target.as_path()]) {
        if !arguments.force && fs::symlink_metadata(path).is_ok() {
            let message = format!("{} is there already: --force replaces it", path.display());
            return Err(Error::new(ErrorKind::Exists, message));
        }
    }
    for (path, secret) in &secrets {
        whole_file::write(path, &[secret, &b"\n"[..]].concat())?;
    }
    whole_file::write(target, imported.text.as_bytes())?;
    tell_notes(context, imported)?;
    for (path, _) in &secrets {
        output.tell(format!("wrote a secret into {}", path.display()))?;
    }
    let target = target.display();
    output.tell(format!(
        "wrote {target}; next: lifeboat config validate --config {target}"
    ))?;
    Ok(0)
}

fn tell_notes(context: &Context, imported: &Imported) -> Result<()> {
    for note in &imported.notes {
        match context.output.is_json() {
            true => tell(context, note)?,
            false => crate::output::to_stderr(&note.to_string()),
        }
    }
    Ok(())
}

/// The folder of a file, from the root on.
pub(super) fn folder_of(file: &Path) -> Result<PathBuf> {
    let whole = std::path::absolute(file).map_err(|e| {
        let message = format!("cannot tell where {} is: {e}", file.display());
        Error::new(ErrorKind::of_io(&e), message)
    })?;
    Ok(whole.parent().unwrap_or(Path::new("/")).to_owned())
}
