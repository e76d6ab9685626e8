//! The ground of lifeboat: values that every crate shares and none of them owns.
//!
//! Takes text and numbers, gives checked types: ids, names, byte extents, error kinds,
//! and the small ports (clock, entropy, cancellation, progress) by which the outside enters.
//! Does not read files, know wire shapes, or depend on any other lifeboat crate.
//!
//! Source: DESIGN, row 0.

mod bytes;
mod cancel;
mod clock;
mod entropy;
mod error;
mod extent;
mod id;
mod name;
mod pattern;
mod progress;
mod secret;
mod span;

pub use bytes::ByteCount;
pub use cancel::CancelToken;
pub use clock::{Clock, SystemClock};
pub use entropy::{Entropy, SystemEntropy};
pub use error::{ErrorKind, ParseError};
pub use extent::{Extent, ExtentSet};
pub use id::Id;
pub use name::{DiskName, VmName};
pub use pattern::fits_pattern;
pub use progress::{Phase, Progress};
pub use secret::Secret;
pub use span::parse_span;
