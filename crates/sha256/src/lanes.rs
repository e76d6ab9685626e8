//! Which message goes through which lane, and when.
//!
//! The longest messages start first; a lane that has ended takes the next one. When few lanes
//! are left, each is finished alone.

use crate::{BLOCK_BYTES, Digest, INITIAL, State, tail};

/// Messages that are hashed side by side.
pub(crate) const LANES: usize = 16;

/// From this many lanes on, sixteen side by side are faster than one after the other.
pub(crate) const WORTHWHILE: usize = 8;

/// One word of the state of every lane.
pub(crate) type Words = [u32; LANES];

/// The state of every lane, word by word.
pub(crate) type States = [Words; 8];

/// A way to take equally many blocks into every lane, which this processor has.
#[derive(Clone, Copy)]
pub(crate) struct Engine(fn(&mut States, &[&[[u8; BLOCK_BYTES]]; LANES]));

impl Engine {
    /// The widest that this processor has.
    pub(crate) fn of_this_processor() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if crate::wide::is_there() {
            return Some(Self(crate::wide::compress));
        }
        None
    }
}

/// A message on its way through a lane.
#[derive(Clone, Copy)]
struct Lane<'a> {
    /// Its place among the messages.
    slot: usize,
    message: &'a [u8],
    /// Whole blocks that are not yet taken in.
    blocks: &'a [[u8; BLOCK_BYTES]],
}

impl<'a> Lane<'a> {
    fn rest(&self) -> &'a [u8] {
        let odd = self.message.len() % BLOCK_BYTES;
        &self.message[self.message.len() - odd - self.blocks.len() * BLOCK_BYTES..]
    }
}

/// The digests of all messages, in their order.
pub(crate) fn digest_all(messages: &[&[u8]], engine: Engine) -> Vec<Digest> {
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_unstable_by_key(|slot| std::cmp::Reverse(messages[*slot].len()));
    let mut run = Run {
        digests: vec![[0; 32]; messages.len()],
        states: INITIAL.map(|word| [word; LANES]),
        lanes: [None; LANES],
    };
    let mut waiting = order.into_iter();
    loop {
        run.refill(messages, &mut waiting);
        if run.lanes.iter().flatten().count() < WORTHWHILE {
            run.finish_alone();
            return run.digests;
        }
        run.step(engine);
    }
}

struct Run<'a> {
    digests: Vec<Digest>,
    states: States,
    lanes: [Option<Lane<'a>>; LANES],
}

impl<'a> Run<'a> {
    /// Finishes lanes without whole blocks and gives free lanes the next messages.
    fn refill(&mut self, messages: &[&'a [u8]], waiting: &mut impl Iterator<Item = usize>) {
        for index in 0..LANES {
            while self.lanes[index].is_none_or(|lane| lane.blocks.is_empty()) {
                if let Some(lane) = self.lanes[index].take() {
                    self.finish(index, lane);
                }
                let Some(slot) = waiting.next() else { break };
                self.start(index, slot, messages[slot]);
            }
        }
    }

    fn start(&mut self, index: usize, slot: usize, message: &'a [u8]) {
        for (words, word) in self.states.iter_mut().zip(INITIAL) {
            words[index] = word;
        }
        self.lanes[index] = Some(Lane {
            slot,
            message,
            blocks: message.as_chunks().0,
        });
    }

    fn finish(&mut self, index: usize, lane: Lane<'a>) {
        let state: State = self.states.map(|words| words[index]);
        self.digests[lane.slot] = tail::finish(state, lane.rest(), lane.message.len());
    }

    fn finish_alone(&mut self) {
        for index in 0..LANES {
            if let Some(lane) = self.lanes[index].take() {
                self.finish(index, lane);
            }
        }
    }

    /// Takes in as many blocks as the shortest lane has.
    fn step(&mut self, engine: Engine) {
        let active = || self.lanes.iter().flatten();
        let count = active().map(|lane| lane.blocks.len()).min().unwrap_or(0);
        // A lane without a message hashes what another does; nobody looks at it.
        let idle = active().next().map_or(&[][..], |lane| lane.blocks);
        let blocks: [_; LANES] = std::array::from_fn(|index| {
            &self.lanes[index].map_or(idle, |lane| lane.blocks)[..count]
        });
        (engine.0)(&mut self.states, &blocks);
        for lane in self.lanes.iter_mut().flatten() {
            lane.blocks = &lane.blocks[count..];
        }
    }
}
