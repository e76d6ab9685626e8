//! Who goes on at each call: threads take turns, and time passes only between turns.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::chooser::Chooser;

/// Calls that a failure shows.
const TRACE_LENGTH: usize = 120;

/// What a thread may do after it has waited for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The call happens.
    Go,
    /// It fails, and nothing has happened.
    FailBefore,
    /// It happens, and the answer is lost.
    FailAfter,
    /// The process is killed before it.
    DieBefore,
    /// The process is killed right after it.
    DieAfter,
    /// The process was killed: nothing it does matters any more.
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Asking,
    Asleep(Duration),
    /// Waits for the end of another lane.
    Joining(usize),
    Over,
}

pub(crate) struct Lane {
    pub(crate) process: usize,
    pub(crate) status: Status,
    pub(crate) what: String,
    verdict: Verdict,
    wake: Arc<Condvar>,
}

/// A process as the scheduler sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    pub(crate) name: String,
    pub(crate) stopped_until: Duration,
    pub(crate) is_dead: bool,
    /// Seconds its wall clock is ahead.
    pub(crate) skew: i64,
    /// The longest time it was stopped since its operation began.
    pub(crate) longest_stop: Duration,
}

pub(crate) struct State {
    pub(crate) time: Duration,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) lives: Vec<Life>,
    pub(crate) turns: u64,
    pub(crate) violation: Option<String>,
    trace: VecDeque<String>,
    chooser: Option<Chooser>,
}

type Look = Box<dyn Fn() + Send + Sync>;

pub(crate) struct Schedule {
    state: Mutex<State>,
    ended: Condvar,
    /// Called between turns, when nobody runs.
    look: Look,
}

impl Schedule {
    pub(crate) fn new(lives: Vec<Life>, chooser: Chooser, look: Look) -> Self {
        let state = State {
            time: Duration::ZERO,
            lanes: Vec::new(),
            lives,
            turns: 0,
            violation: None,
            trace: VecDeque::new(),
            chooser: Some(chooser),
        };
        Self {
            state: Mutex::new(state),
            ended: Condvar::new(),
            look,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|p| p.into_inner())
    }

    pub(crate) fn time(&self) -> Duration {
        self.state().time
    }

    /// A lane of `process` that counts as running from now on.
    pub(crate) fn add_lane(&self, process: usize) -> usize {
        let mut state = self.state();
        state.lanes.push(Lane {
            process,
            status: Status::Running,
            what: String::new(),
            verdict: Verdict::Go,
            wake: Arc::new(Condvar::new()),
        });
        state.lanes.len() - 1
    }

    /// Waits for a turn to make the call `what`.
    pub(crate) fn ask(&self, lane: usize, what: String) -> Verdict {
        self.rest(lane, Status::Asking, what)
    }

    /// Lets simulated time pass.
    pub(crate) fn sleep(&self, lane: usize, duration: Duration) -> Verdict {
        let until = self.time() + duration;
        self.rest(lane, Status::Asleep(until), String::new())
    }

    /// Waits until lane `other` is over; wakes it first.
    pub(crate) fn join(&self, lane: usize, other: usize) {
        let mut state = self.state();
        if let Status::Asleep(until) = &mut state.lanes[other].status {
            *until = Duration::ZERO;
        }
        self.rest_in(state, lane, Status::Joining(other), String::new());
    }

    pub(crate) fn end(&self, lane: usize) {
        let mut state = self.state();
        state.lanes[lane].status = Status::Over;
        drop(self.pass_on(state));
        self.ended.notify_all();
    }

    fn rest(&self, lane: usize, status: Status, what: String) -> Verdict {
        let state = self.state();
        let process = state.lanes[lane].process;
        if state.lives[process].is_dead {
            return Verdict::Dead;
        }
        self.rest_in(state, lane, status, what)
    }

    fn rest_in<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        lane: usize,
        status: Status,
        what: String,
    ) -> Verdict {
        let row = &mut state.lanes[lane];
        assert_eq!(row.status, Status::Running, "two calls of one lane at once");
        (row.status, row.what) = (status, what);
        let wake = Arc::clone(&row.wake);
        state = self.pass_on(state);
        while state.lanes[lane].status != Status::Running {
            state = wake.wait(state).unwrap_or_else(|p| p.into_inner());
        }
        let (process, verdict) = (state.lanes[lane].process, state.lanes[lane].verdict);
        if matches!(verdict, Verdict::DieBefore | Verdict::DieAfter) {
            state.lives[process].is_dead = true;
        }
        verdict
    }

    /// Waits until all threads are over.
    pub(crate) fn wait(&self) {
        let mut state = self.state();
        while state.lanes.iter().any(|lane| lane.status != Status::Over) {
            state = self.ended.wait(state).unwrap_or_else(|p| p.into_inner());
        }
    }

    /// Gives the turn to the next lane, unless somebody runs; the caller has just come to rest.
    fn pass_on<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        loop {
            let is_running = state.lanes.iter().any(|l| l.status == Status::Running);
            if is_running || state.lanes.iter().all(|l| l.status == Status::Over) {
                return state;
            }
            let Some(mut chooser) = state.chooser.take() else {
                return state;
            };
            if chooser.wants_look() {
                state.chooser = Some(chooser);
                drop(state);
                (self.look)();
                state = self.state();
                continue;
            }
            if state.violation.is_some() {
                state.lives.iter_mut().for_each(|life| life.is_dead = true);
            }
            let (lane, verdict) = chooser.choose(&mut state);
            state.chooser = Some(chooser);
            state.turns += 1;
            let is_dead = state.lives[state.lanes[lane].process].is_dead;
            let row = &mut state.lanes[lane];
            row.verdict = if is_dead { Verdict::Dead } else { verdict };
            row.status = Status::Running;
            row.wake.notify_all();
            return state;
        }
    }

    /// Notes one line for the story of a failure.
    pub(crate) fn note(&self, process: usize, line: &str) {
        self.state().note(process, line);
    }

    /// Something that must never be; the first one counts.
    pub(crate) fn violated(&self, what: String) {
        let mut state = self.state();
        state.say(&format!("VIOLATED: {what}"));
        state.violation.get_or_insert(what);
    }

    /// The last calls, one a line.
    pub(crate) fn story(&self) -> String {
        let state = self.state();
        state.trace.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl State {
    pub(crate) fn is_runnable(&self, lane: usize) -> bool {
        let row = &self.lanes[lane];
        let life = &self.lives[row.process];
        if life.stopped_until > self.time && !life.is_dead {
            return false;
        }
        match row.status {
            Status::Asking => true,
            Status::Asleep(until) => until <= self.time || life.is_dead,
            Status::Joining(other) => self.lanes[other].status == Status::Over,
            Status::Running | Status::Over => false,
        }
    }

    /// When the first lane that cannot go on now can.
    pub(crate) fn next_wake(&self) -> Option<Duration> {
        let wakes = self.lanes.iter().filter_map(|lane| {
            let stopped = self.lives[lane.process].stopped_until;
            match lane.status {
                Status::Asleep(until) => Some(until.max(stopped)),
                Status::Asking | Status::Joining(_) => Some(stopped),
                Status::Running | Status::Over => None,
            }
        });
        wakes.filter(|wake| *wake > self.time).min()
    }

    pub(crate) fn note(&mut self, process: usize, line: &str) {
        let name = self.lives[process].name.clone();
        self.say(&format!("{name:>11}  {line}"));
    }

    pub(crate) fn say(&mut self, line: &str) {
        let seconds = self.time.as_secs();
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if self.trace.len() == TRACE_LENGTH {
            self.trace.pop_front();
        }
        let line = format!("{hours:4}:{minutes:02}:{:02}  {line}", seconds % 60);
        self.trace.push_back(line);
    }
}
