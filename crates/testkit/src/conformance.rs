//! One suite per door; fakes and real implementations run the same.

mod backend;

pub use backend::backend;
