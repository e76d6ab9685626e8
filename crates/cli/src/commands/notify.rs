//! `lifeboat notify`

use lifeboat_notify::Notice;

use crate::args::NotifyCommand;
use crate::context::Context;
use crate::error::Result;
use crate::service::{Service, targets};

/// Sends a notice to a target, to see that it arrives.
pub(crate) fn run(context: &Context, command: &NotifyCommand) -> Result<u8> {
    let service = Service::open(context)?;
    let config = &service.loaded.config;
    let targets = targets(&config.notifications)?;
    match command {
        NotifyCommand::Test { target } => {
            let label = config.site.as_deref().unwrap_or("lifeboat");
            let notice = Notice::test(label, target, service.catalog.now());
            targets.send(&notice)?;
            context
                .output
                .result(format!("{target} took a test notice"))?;
        }
        NotifyCommand::List => {
            for name in targets.names() {
                context.output.result(name)?;
            }
        }
    }
    Ok(0)
}
