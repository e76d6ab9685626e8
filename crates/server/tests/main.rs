//! What the server promises.

mod demo_fleet;
mod pages_answer_and_escape;
