//! `lifeboat chain`

use crate::args::ChainCommand;
use crate::context::Context;
use crate::error::Result;

/// Runs one of the chain's commands.
pub(crate) fn run(_context: &Context, _command: &ChainCommand) -> Result<u8> {
    Err(crate::error::Error::usage("not there yet"))
}
