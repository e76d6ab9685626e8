//! The dashboard: pages made on the server from values that were looked up before.
//!
//! Takes what catalog and scheduler say and gives HTML that reads without a script. The script
//! adds what moves: live regions, search, dialogs, copying, the theme.
//! Does not decide anything, or load anything from elsewhere: `answers` looks up, the other files
//! are functions of what was found. Changes go through `/api/v1`, but for signing in and out. No
//! page holds a style or a script of its own, so that the strictest policy of browsers fits.

mod alerts;
mod answers;
mod audit;
mod browse;
mod chart;
mod frame;
mod icon;
mod machine;
mod machines;
mod overview;
mod parts;
mod repositories;
mod restore;
mod runs;
mod schedule;
mod settings;
mod simple;
mod simulation;
mod task;
mod words;

pub(crate) use answers::router;

pub use alerts::{AlertsShown, page as alerts_page};
pub use audit::page as audit_page;
pub use browse::{BrowseView, page as browse_page};
pub use frame::{Frame, Place, Reader};
pub use machine::{MachineView, page as machine_page};
pub use machines::{MachinesQuery, page as machines_page, which as which_page};
pub use overview::{OverviewView, page as overview_page};
pub use repositories::{RepositoryView, list as repositories_page, page as repository_page};
pub use restore::{RestoreQuery, RestoreView, page as restore_page, words as restore_words};
pub use runs::{RunView, RunsView, TaskView, list as runs_page, page as run_page};
pub use schedule::{Coming, RULES, ScheduleView, SimulatorQuery, Stretch, page as schedule_page};
pub use settings::{Setting, SettingsView, page as settings_page};
pub use simple::{
    failure as failure_page, help as help_page, login as login_page, search as search_page,
    setup as setup_page,
};
pub(crate) use words::escape_bytes;

pub use crate::browse::{
    Found, GuestEntry, GuestFolder, GuestKind, GuestVolume, InsidePlace, Looked, StoredFile,
};
pub use crate::recovery::{PlanFinding, PlannedDisk, RecoveryPlan};
pub use words::Moment;
