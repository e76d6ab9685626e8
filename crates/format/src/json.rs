//! JSON by hand, for the two shapes that grow large (index and tree) and must equal Go's bytes.
//!
//! Takes bytes and gives their parts in order without building a document; writes strings as Go
//! does. Does not recurse, so that depth costs nothing.
//!
//! serde_json serves all small files. Here it would cost a visitor per shape, and it hides how
//! a string was escaped, which trees of old restic versions need.
//!
//! Source: RFC 8259; Go's encoding/json (HTML escaping on).

mod reader;
mod shape;
mod writer;

pub(crate) use reader::{Malformed, Read, Reader};
pub(crate) use shape::require_modest_shape;
pub(crate) use writer::{GoStyle, write_base64, write_ids, write_number, write_string};
