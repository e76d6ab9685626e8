//! The REST API, the metrics and the pages of `lifeboat serve`.

pub mod assets;
pub mod pages;
