//! The port to whoever carries tasks out.

use std::time::Duration;

use lifeboat_catalog::{LogLevel, Progress, Task, TaskEnd};
use lifeboat_model::CancelToken;

/// Carries tasks out: child processes in the program, a play in tests.
pub trait Executor: Send + Sync {
    /// Carries one attempt out and returns when nothing of it runs any more. When `cancel` is set
    /// it stops soon; when the lease is over nothing of it runs any more, whatever became of the
    /// node.
    fn execute(&self, task: &Task, watch: &dyn TaskWatch, cancel: &CancelToken) -> TaskEnd;
}

/// Is told what a task does.
pub trait TaskWatch: Sync {
    /// A step begins.
    fn step(&self, name: &str);

    /// How far it is.
    fn progress(&self, progress: &Progress);

    /// It said something.
    fn line(&self, level: LogLevel, line: &str);

    /// Until when nobody else takes the task, by the monotonic count of the node's clock; later
    /// after each renewal of the lease.
    fn held_until(&self) -> Duration;
}
