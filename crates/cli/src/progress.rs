//! Showing how far a run has come: a bar on a terminal, sparse lines elsewhere, JSON for scripts.

use std::io::IsTerminal;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lifeboat_model::{ByteCount, Phase, Progress};
use serde::Serialize;

use crate::output::{Output, Style};

mod tasks;

pub(crate) use tasks::{TaskLine, task_text};

/// Piped output gets a line this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A rate is taken over this long.
const RATE_WINDOW: Duration = Duration::from_secs(8);

/// Shows progress in the background until it is dropped.
pub(crate) struct ProgressDisplay {
    over: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressDisplay {
    /// Starts to show `progress`, unless output is quiet.
    ///
    /// `frames_per_second` is for the bar; JSON gets one line a second.
    pub(crate) fn start(output: Output, progress: Arc<Progress>, frames_per_second: f64) -> Self {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        if output.verbosity == 0 {
            return Self { over, thread: None };
        }
        let is_terminal = std::io::stderr().is_terminal();
        let pause = match (output.style, is_terminal) {
            (Style::Json, _) => Duration::from_secs(1),
            (Style::Text, true) => {
                Duration::from_secs_f64(1.0 / frames_per_second.clamp(0.1, 60.0))
            }
            (Style::Text, false) => LINE_EVERY,
        };
        let shared = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut view = View::new(output, is_terminal, pause);
            while !wait(&shared, pause) {
                view.show(&progress);
            }
            view.finish();
        });
        Self {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        *self
            .over
            .0
            .lock()
            .unwrap_or_else(|poison| poison.into_inner()) = true;
        self.over.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits for `pause`; `true` when it is over.
fn wait(over: &(Mutex<bool>, Condvar), pause: Duration) -> bool {
    let guard = over.0.lock().unwrap_or_else(|poison| poison.into_inner());
    let waited = over.1.wait_timeout_while(guard, pause, |is_over| !*is_over);
    *waited.unwrap_or_else(|poison| poison.into_inner()).0
}

/// One look at the counters.
#[derive(Clone, Copy)]
struct Look {
    phase: Phase,
    done: u64,
    total: u64,
    written: u64,
}

impl Look {
    fn at(progress: &Progress) -> Self {
        Self {
            phase: progress.phase(),
            done: progress.done.load(Relaxed),
            total: progress.total.load(Relaxed),
            written: progress.written.load(Relaxed),
        }
    }

    fn share(&self) -> f64 {
        if self.total == 0 {
            0.0
        } else {
            (self.done as f64 / self.total as f64).min(1.0)
        }
    }
}

struct View {
    output: Output,
    start: Instant,
    phase: Phase,
    pause: Duration,
    rate: Rate,
    bar: Option<ProgressBar>,
}

impl View {
    fn new(output: Output, is_terminal: bool, pause: Duration) -> Self {
        let bar = (is_terminal && output.style == Style::Text).then(new_bar);
        let now = Instant::now();
        Self {
            output,
            start: now,
            phase: Phase::Idle,
            pause,
            rate: Rate::default(),
            bar,
        }
    }

    fn show(&mut self, progress: &Progress) {
        let look = Look::at(progress);
        let now = Instant::now();
        if look.phase != self.phase {
            (self.phase, self.rate) = (look.phase, Rate::default());
        }
        let rate = self.rate.add(now, self.pause, look.done);
        let left = eta(&look, rate);
        match (&self.bar, self.output.style) {
            (Some(bar), _) => draw(bar, &look, rate, left),
            (None, Style::Text) => line(&look, rate, left),
            (None, Style::Json) => self.json(&look, left),
        }
    }

    fn json(&self, look: &Look, left: Option<Duration>) {
        let status = Status {
            phase: word(look.phase),
            seconds_elapsed: self.start.elapsed().as_secs(),
            seconds_remaining: left.map(|left| left.as_secs()),
            percent_done: look.share(),
            total_bytes: look.total,
            bytes_done: look.done,
        };
        self.output.event("status", &status);
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
    let template = "{prefix:>10} {bar:20.cyan/dim} {percent:>3}%  {msg}";
    let style = ProgressStyle::with_template(template);
    bar.set_style(
        style
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─"),
    );
    bar
}

fn draw(bar: &ProgressBar, look: &Look, rate: f64, left: Option<Duration>) {
    bar.set_length(look.total.max(1));
    bar.set_position(look.done.min(look.total));
    bar.set_prefix(word(look.phase));
    bar.set_message(text(look, rate, left));
    bar.tick();
}

fn line(look: &Look, rate: f64, left: Option<Duration>) {
    if look.phase != Phase::Idle {
        let percent = look.share() * 100.0;
        let (word, text) = (word(look.phase), text(look, rate, left));
        crate::output::to_stderr(&format!("{word}: {percent:.0} %, {text}"));
    }
}

fn text(look: &Look, rate: f64, left: Option<Duration>) -> String {
    if !counts_bytes(look.phase) {
        return format!("{} of {}", look.done, look.total);
    }
    let done = ByteCount(look.done);
    let amount = match look.total {
        // Nobody knows before.
        0 => done.to_string(),
        total => format!("{done} of {}", ByteCount(total)),
    };
    let mut text = format!("{amount}, {}/s", ByteCount(rate as u64));
    if look.phase == Phase::Transfer && look.written > 0 {
        text.push_str(&format!(", {} stored", ByteCount(look.written)));
    }
    if let Some(left) = left {
        text.push_str(&format!(", {} left", crate::tables::span(left)));
    }
    text
}

fn counts_bytes(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::LoadIndex | Phase::Transfer | Phase::Restore | Phase::Verify | Phase::Repack
    )
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "waiting",
        Phase::Open => "opening",
        Phase::LoadIndex => "index",
        Phase::Walk => "walking",
        Phase::Transfer => "storing",
        Phase::Restore => "restoring",
        Phase::Verify => "verifying",
        Phase::Repack => "repacking",
        Phase::Record => "recording",
        Phase::Remove => "removing",
    }
}

/// Time left at the present rate; nothing in the first moments.
fn eta(look: &Look, rate: f64) -> Option<Duration> {
    let rest = look.total.saturating_sub(look.done);
    (rate > 1.0 && look.total > 0).then(|| Duration::from_secs((rest as f64 / rate) as u64))
}

/// Bytes a second over the last seconds.
#[derive(Default)]
struct Rate {
    looks: std::collections::VecDeque<(Instant, u64)>,
}

impl Rate {
    fn add(&mut self, now: Instant, pause: Duration, done: u64) -> f64 {
        let is_old = |look: &(Instant, u64)| now - look.0 > RATE_WINDOW;
        while self.looks.len() > 2 && self.looks.get(1).is_some_and(is_old) {
            self.looks.pop_front();
        }
        if self.looks.is_empty() {
            // A phase starts at zero; that was at most one look ago.
            self.looks
                .push_back((now.checked_sub(pause).unwrap_or(now), 0));
        }
        self.looks.push_back((now, done));
        let Some((then, before)) = self.looks.front() else {
            return 0.0;
        };
        let seconds = (now - *then).as_secs_f64();
        if seconds > 0.0 {
            done.saturating_sub(*before) as f64 / seconds
        } else {
            0.0
        }
    }
}

#[derive(Serialize)]
struct Status {
    phase: &'static str,
    seconds_elapsed: u64,
    seconds_remaining: Option<u64>,
    percent_done: f64,
    total_bytes: u64,
    bytes_done: u64,
}
