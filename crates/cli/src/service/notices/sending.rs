//! Notices to targets, each target beside the others: a slow one holds nobody up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use lifeboat_notify::Notice;

use super::targets::{Entries, send};

/// What a target has not got after this time goes back: settings may have changed.
const ROUND: Duration = Duration::from_secs(10);

/// What is on its way, and what came of it.
pub(super) struct Sending {
    /// Notices that are on their way, by target.
    busy: BTreeMap<String, usize>,
    sender: Sender<Attempt>,
    results: Receiver<Attempt>,
}

/// What came of one notice.
pub(super) struct Attempt {
    pub(super) target: String,
    pub(super) id: String,
    pub(super) ended: Ended,
}

/// How an attempt ended.
pub(super) enum Ended {
    Delivered,
    Failed(String),
    /// One before it failed, or took all the time.
    NotTried,
}

impl Sending {
    pub(super) fn new() -> Self {
        let (sender, results) = channel();
        Self {
            busy: BTreeMap::new(),
            sender,
            results,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    /// What came of a notice, if it is heard within some time.
    pub(super) fn heard(&mut self, wait: Duration) -> Option<Attempt> {
        let attempt = self.results.recv_timeout(wait).ok()?;
        if let Some(count) = self.busy.get_mut(&attempt.target) {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(&attempt.target);
            }
        }
        Some(attempt)
    }

    /// Sends notices; gives the ids of those whose target is busy with others.
    pub(super) fn begin(
        &mut self,
        entries: &Entries,
        notices: impl Iterator<Item = Notice>,
    ) -> Vec<String> {
        let mut by_target: BTreeMap<String, VecDeque<Notice>> = BTreeMap::new();
        for notice in notices {
            let target = notice.target.clone();
            by_target.entry(target).or_default().push_back(notice);
        }
        let mut refused = Vec::new();
        for (target, left) in by_target {
            if self.busy.contains_key(&target) {
                refused.extend(left.into_iter().map(|notice| notice.id));
                continue;
            }
            self.busy.insert(target, left.len());
            let batch = Batch {
                left,
                results: self.sender.clone(),
            };
            let entries = entries.clone();
            thread::spawn(move || batch.send(&entries));
        }
        refused
    }
}

/// Notices to one target; what is left of them at its end was not tried.
struct Batch {
    left: VecDeque<Notice>,
    results: Sender<Attempt>,
}

impl Batch {
    fn send(mut self, entries: &Entries) {
        let began = Instant::now();
        while began.elapsed() < ROUND
            && let Some(notice) = self.left.front()
        {
            let ended = match send(entries, notice) {
                Ok(()) => Ended::Delivered,
                Err(error) => Ended::Failed(error.to_string()),
            };
            let is_failed = matches!(ended, Ended::Failed(_));
            self.report(ended);
            if is_failed {
                return;
            }
        }
    }

    fn report(&mut self, ended: Ended) {
        if let Some(notice) = self.left.pop_front() {
            // Nobody listens any more when the service ends.
            let _ = self.results.send(Attempt {
                target: notice.target,
                id: notice.id,
                ended,
            });
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        while !self.left.is_empty() {
            self.report(Ended::NotTried);
        }
    }
}
