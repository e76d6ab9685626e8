//! What this binary does inside of the guest: the product on a real LVM, with everything that
//! can happen to it. The judge is outside.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

mod acts;
mod lab;

use lab::Lab;
pub(crate) use lab::{SIZE, machine, options, request};

use crate::guest::INSIDE;
use crate::recording::Recorder;

type Act = fn(&Lab);

/// By the sentence that each proves.
pub(crate) const ACTS: [(&str, Act); 9] = [
    (
        "a snapshot stands still while the volume goes on",
        acts::classic,
    ),
    ("an overflow is told and nothing stays", acts::overflow),
    ("thin metadata names every change", acts::thin),
    ("a kept store names every change", acts::kept),
    ("whatever is in doubt is read as a whole", acts::doubts),
    (
        "several volumes of a running machine are told",
        acts::several,
    ),
    ("a killed run is swept and nothing else", acts::killed),
    ("volumes are made, written and undone", acts::built),
    (
        "too little room is said before anything is made",
        acts::no_room,
    ),
];

/// Acts only where the guest's first process started it.
#[test]
fn acts() {
    match env::var(INSIDE).as_deref() {
        Ok("act") => act(),
        Ok("hang") => {
            let mut lab = Lab::new(None);
            lab.begin(u64::MAX);
            acts::hang(&lab);
        }
        _ => {}
    }
}

fn act() {
    // The runner's own line about this test has no end yet.
    println!();
    let recorder = Arc::new(Recorder::default());
    let mut lab = Lab::new(Some(Arc::clone(&recorder)));
    lab.set_up();
    for (number, (sentence, act)) in ACTS.into_iter().enumerate() {
        recorder.begin(sentence);
        lab.begin(number as u64);
        let begun = lab.seconds();
        let verdict = match catch_unwind(AssertUnwindSafe(|| act(&lab))) {
            Ok(()) => "yes",
            Err(_) => "NO",
        };
        println!("VERDICT {verdict} {sentence}");
        println!("TOOK {:.1} s: {sentence}", lab.seconds() - begun);
    }
    lab.keep_image("recording", &recorder.written());
    println!("GUEST done");
}
