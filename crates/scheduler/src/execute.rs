//! The port to whoever carries tasks out.

use lifeboat_catalog::{LogLevel, Progress, Task, TaskEnd};
use lifeboat_model::CancelToken;

/// Carries tasks out: child processes in the program, a play in tests.
pub trait Executor: Send + Sync {
    /// Carries one attempt out and returns when nothing of it runs any more. When `cancel` is set
    /// it stops soon.
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
}
