//! `lifeboat catalog`

use crate::args::CatalogCommand;
use crate::context::Context;
use crate::error::Result;

/// Runs one of the catalog's commands.
pub(crate) fn run(_context: &Context, _command: &CatalogCommand) -> Result<u8> {
    Err(crate::error::Error::usage("not there yet"))
}
