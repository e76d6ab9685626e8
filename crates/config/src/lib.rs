//! Reads `lifeboat.toml`: sites, repositories, platforms, policies, jobs, the server, notices.
//!
//! Takes texts and gives values, all findings at once, each with file, line, column and a
//! suggestion, and for every value where it came from.
//! Settings of other programs become such a text, with everything in it that they say.
//! Does not open files: whoever calls reads them.
//! Secrets never stand in it: only where they are found.
//!
//! What a job says about captures is read by the type that the caller names, so that this crate
//! knows no platform.

mod carried;
mod check;
mod document;
mod finding;
mod gaps;
mod import;
mod job;
mod notification;
mod place;
mod policy;
mod read;
mod secret;
mod section;
mod service;
mod settings;

pub use carried::CarriedEntry;
pub use finding::{Finding, Severity, Spot, nearest};
pub use import::{ImportKind, Imported, ImportedSecret, import, kind_of};
pub use job::JobEntry;
pub use notification::{
    EscalationEntry, LevelEntry, NoticeSeverity, Notifications, PerRun, PingEntry, PingFailure,
    PingMethod, RouteEntry, SmtpEncryption, SmtpEntry, TargetEntry, TargetKind, WebhookEntry,
};
pub use place::{CheckData, PlatformEntry, RepositoryEntry, SiteEntry};
pub use policy::{Objectives, PolicyEntry, Retry};
pub use read::{Config, Include, Loaded, SourceFile, read, read_partly};
pub use secret::{SecretSource, ValueSource};
pub use section::{Asked, Kind, Origin, ShownValue};
pub use service::{
    CatalogEntry, CatalogPlace, CertificateFiles, LimitsEntry, LoginLimits, ServerEntry,
};
pub use settings::{Setting, settings};
