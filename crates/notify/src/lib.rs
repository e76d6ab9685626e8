//! Tells people: mail, web hooks, pings and commands, by severity and escalation.
//!
//! Takes the conditions that hold and who acknowledged which; gives notices to targets, each at
//! its moment, and carries them there. The rules ([`Router`]) are pure: time is an argument, and
//! what they remember is a value ([`State`]) that the caller keeps as JSON.
//! Does not find conditions, read configuration, or keep a clock: who calls it does.
//!
//! Order: the state is durable before its deliveries are sent; then a crash in between sends a
//! notice twice under one id and never loses it.
//!
//! Source: DESIGN, row 1.

mod condition;
mod error;
mod notice;
mod outbox;
mod pattern;
mod router;
mod rules;
mod transport;

pub use condition::{Acknowledgement, Condition, Remedy, Severity, Subject};
pub use error::{Error, Result};
pub use notice::{Content, Digest, Event, Item, Notice, Outcome, Run, Section};
pub use outbox::{Delivery, Outbox};
pub use pattern::Pattern;
pub use router::{Router, State, Step};
pub use rules::{DigestRule, Escalation, Level, Route, Rules, RunRule, When};
pub use transport::{
    Command, CommandSettings, Mail, MailSecurity, MailSettings, Method, Ping, PingFailure,
    PingSettings, Transport, WebHook, WebHookSettings,
};
