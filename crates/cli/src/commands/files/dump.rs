//! `lifeboat files dump`

use std::io::{self, Write};

use lifeboat_model::ErrorKind;
use lifeboat_rescue::wire::FileKind;
use lifeboat_rescue::{LastLink, Step};

use super::{enter, inner, path_wanted};
use crate::args::FilesDumpArguments;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::tables::shown;

/// Writes one file inside a machine's disks to standard output.
pub(super) fn run(context: &Context, arguments: &FilesDumpArguments) -> Result<u8> {
    let (place, rescue) = (&arguments.place, &arguments.rescue);
    enter(context, place, rescue, |inside, path| {
        let path = path.ok_or_else(path_wanted)?;
        let mut walk = inside
            .rescue()
            .walk(&path, LastLink::Followed)
            .map_err(inner)?;
        let first = walk.next().transpose().map_err(inner)?;
        let is_file = matches!(&first, Some(Step::Entry(entry)) if entry.kind == FileKind::File);
        if !is_file {
            let text = shown(&path.to_string());
            let message =
                format!("{text} is no file: 'lifeboat files get' copies folders and links");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let mut stdout = io::stdout().lock();
        if let Some(mut content) = walk.content().map_err(inner)? {
            io::copy(&mut content, &mut stdout)?;
        }
        stdout.flush()?;
        Ok(0)
    })
}
