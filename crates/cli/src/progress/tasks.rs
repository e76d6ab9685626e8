//! How far the tasks of a run are, as nodes write it down.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::ProgressBar;
use lifeboat_catalog::Task;
use lifeboat_model::ByteCount;

use super::new_bar;
use crate::output::{Output, Style};
use crate::tables::{shown, span};

/// `reading, 1.2 GiB of 8.0 GiB (15 %), 310 MiB/s, 22s left`
pub(crate) fn task_text(task: &Task) -> Option<String> {
    let progress = task.progress.as_ref()?;
    let mut text = shown(&progress.phase);
    if progress.total > 0 {
        let percent = u128::from(progress.done) * 100 / u128::from(progress.total);
        let (done, total) = (ByteCount(progress.done), ByteCount(progress.total));
        text += &format!(", {done} of {total} ({percent} %)");
    }
    if progress.rate > 0 {
        text += &format!(", {}/s", ByteCount(progress.rate));
    }
    if let Some(seconds) = progress.seconds_left {
        text += &format!(", {} left", span(Duration::from_secs(seconds)));
    }
    Some(text)
}

/// A line at the foot of a terminal, while there is something to show; nothing elsewhere.
pub(crate) struct TaskLine {
    is_wanted: bool,
    bar: RefCell<Option<ProgressBar>>,
}

impl TaskLine {
    /// A line that shows nothing yet.
    pub(crate) fn new(output: Output) -> Self {
        let is_text = output.style == Style::Text && output.verbosity > 0;
        Self {
            is_wanted: is_text && std::io::stderr().is_terminal(),
            bar: RefCell::default(),
        }
    }

    /// Shows the first of tasks that run, and how many more there are.
    pub(crate) fn show(&self, running: &[&Task]) {
        let mut held = self.bar.borrow_mut();
        let first = running.first().filter(|_| self.is_wanted);
        let Some((task, progress)) = first.and_then(|it| Some((it, it.progress.as_ref()?))) else {
            if let Some(bar) = held.take() {
                bar.finish_and_clear();
            }
            return;
        };
        let bar = held.get_or_insert_with(new_bar);
        let (done, total) = (progress.done, progress.total);
        let mut text = format!("{}: {}", shown(&task.subject), ByteCount(done));
        if total > 0 {
            text += &format!(" of {}", ByteCount(total));
        }
        text += &format!(", {}/s", ByteCount(progress.rate));
        if let Some(seconds) = progress.seconds_left {
            text += &format!(", {} left", span(Duration::from_secs(seconds)));
        }
        match running.len() - 1 {
            0 => {}
            more => text += &format!(", and {more} more"),
        }
        bar.set_length(total.max(1));
        bar.set_position(done.min(total));
        bar.set_prefix(shown(&progress.phase));
        bar.set_message(text);
        bar.tick();
    }

    /// Says something above the line.
    pub(crate) fn aside(&self, say: impl FnOnce()) {
        match &*self.bar.borrow() {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }
}

impl Drop for TaskLine {
    fn drop(&mut self) {
        self.show(&[]);
    }
}
