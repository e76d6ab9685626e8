//! Whose turn is next: as a seed says, or by a list of switches.

use std::time::Duration;

use lifeboat_testkit::SeededEntropy;

use super::schedule::{State, Status, Verdict};

/// How rough a seeded run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Of a thousand turns so many stay with the same lane.
    pub(crate) same: u64,
    /// Of ten thousand turns so many stop somebody for minutes to days.
    pub(crate) stops: u64,
    /// Of ten thousand turns so many kill somebody.
    pub(crate) kills: u64,
    /// Of ten thousand turns so many fail, with or without effect.
    pub(crate) faults: u64,
    /// Of ten thousand turns so many set somebody's clock.
    pub(crate) jumps: u64,
    /// Clocks are wrong by up to so many seconds.
    pub(crate) skew: u64,
    /// Of a thousand turns so many are followed by a look at everything.
    pub(crate) looks: u64,
}

pub(crate) enum Chooser {
    Seeded {
        entropy: SeededEntropy,
        weather: Weather,
        last: usize,
    },
    /// Changes lanes only before these turns and when a lane cannot go on.
    Switching {
        switches: Vec<u64>,
        /// A process that makes no call from this turn on.
        kill: Option<(usize, u64)>,
        last: usize,
        turn: u64,
    },
}

impl Chooser {
    pub(crate) fn seeded(seed: u64, weather: Weather) -> Self {
        let entropy = SeededEntropy::new(seed);
        Self::Seeded {
            entropy,
            weather,
            last: 0,
        }
    }

    pub(crate) fn switching(switches: Vec<u64>, kill: Option<(usize, u64)>) -> Self {
        Self::Switching {
            switches,
            kill,
            last: 0,
            turn: 0,
        }
    }

    pub(crate) fn wants_look(&mut self) -> bool {
        match self {
            Self::Seeded {
                entropy, weather, ..
            } => entropy.below(1000) < weather.looks,
            Self::Switching { .. } => false,
        }
    }

    /// The lane that goes on, and what happens to its call; lets time pass.
    pub(crate) fn choose(&mut self, state: &mut State) -> (usize, Verdict) {
        match self {
            Self::Seeded {
                entropy,
                weather,
                last,
            } => {
                pass_time(entropy, state);
                disturb(entropy, *weather, state);
                let lanes = runnable(state);
                if !lanes.contains(last) || entropy.below(1000) >= weather.same {
                    *last = lanes[entropy.below(lanes.len() as u64) as usize];
                }
                let asks = state.lanes[*last].status == Status::Asking;
                (
                    *last,
                    if asks {
                        fate(entropy, *weather)
                    } else {
                        Verdict::Go
                    },
                )
            }
            Self::Switching {
                switches,
                kill,
                last,
                turn,
            } => {
                *turn += 1;
                if let Some((process, _)) = kill.take_if(|(_, at)| at <= turn) {
                    state.lives[process].is_dead = true;
                    state.note(process, "-- is killed");
                }
                let lanes = runnable(state);
                if switches.contains(turn) || !lanes.contains(last) {
                    let others = lanes.iter().filter(|lane| *lane != last);
                    let next = others.clone().find(|lane| *lane > last);
                    *last = *next.or(others.min()).unwrap_or(last);
                }
                (*last, Verdict::Go)
            }
        }
    }
}

/// The lanes that can go on; when there is none, time passes until there is.
fn runnable(state: &mut State) -> Vec<usize> {
    loop {
        let lanes: Vec<usize> = (0..state.lanes.len())
            .filter(|lane| state.is_runnable(*lane))
            .collect();
        if !lanes.is_empty() {
            return lanes;
        }
        let wake = state.next_wake();
        state.time = wake.expect("somebody waits for nothing");
    }
}

fn pass_time(entropy: &SeededEntropy, state: &mut State) {
    let milliseconds_max = match entropy.below(100) {
        0..80 => 200,
        80..97 => 5_000,
        _ => 120_000,
    };
    state.time += Duration::from_millis(entropy.below(milliseconds_max));
}

fn disturb(entropy: &SeededEntropy, weather: Weather, state: &mut State) {
    let process = entropy.below(state.lives.len() as u64) as usize;
    if entropy.below(10_000) < weather.stops {
        let minutes = match entropy.below(10) {
            0..5 => 10 + entropy.below(30),
            5..8 => 60 + entropy.below(600),
            _ => 1_200 + entropy.below(3_600),
        };
        let duration = Duration::from_secs(60 * minutes);
        let until = state.time + duration;
        let life = &mut state.lives[process];
        life.stopped_until = life.stopped_until.max(until);
        life.longest_stop = life.longest_stop.max(duration);
        state.note(process, &format!("-- stops for {minutes} minutes"));
    }
    if entropy.below(10_000) < weather.jumps {
        let skew = skew(entropy, weather.skew);
        state.lives[process].skew = skew;
        state.note(process, &format!("-- its clock is set to {skew:+} s"));
    }
}

pub(crate) fn skew(entropy: &SeededEntropy, most: u64) -> i64 {
    entropy.below(2 * most + 1) as i64 - most as i64
}

fn fate(entropy: &SeededEntropy, weather: Weather) -> Verdict {
    let chance = entropy.below(10_000);
    let is_after = entropy.below(2) == 1;
    match (chance, is_after) {
        (chance, false) if chance < weather.kills => Verdict::DieBefore,
        (chance, true) if chance < weather.kills => Verdict::DieAfter,
        (chance, false) if chance < weather.kills + weather.faults => Verdict::FailBefore,
        (chance, true) if chance < weather.kills + weather.faults => Verdict::FailAfter,
        _ => Verdict::Go,
    }
}
