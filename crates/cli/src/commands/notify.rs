//! `lifeboat notify`

use lifeboat_notify::Notice;

use crate::args::NotifyCommand;
use crate::context::Context;
use crate::error::Result;
use crate::service::{Service, label, send};

/// Sends a notice to a target, to see that it arrives.
pub(crate) fn run(context: &Context, command: &NotifyCommand) -> Result<u8> {
    let service = Service::open(context)?;
    let config = &service.loaded.config;
    let notifications = &config.notifications;
    match command {
        NotifyCommand::Test { target } => {
            let label = label(config.site.as_deref());
            let mut notice = Notice::test(&label, target, service.catalog.now());
            notice.link.clone_from(&notifications.dashboard);
            send(&notifications.targets, &notice)?;
            context
                .output
                .result(format!("{target} took a test notice"))?;
        }
        NotifyCommand::List => {
            for name in notifications.targets.keys() {
                context.output.result(name)?;
            }
        }
    }
    Ok(0)
}
