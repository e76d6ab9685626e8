//! Disks over the network block device protocol: a client, a server, a local overlay.
//!
//! Takes an address and gives a disk's bytes, its extents and writers; or takes disks and gives
//! them to clients. The overlay keeps what clients write into a disk that may not change.
//! Does not know what is exported, why, or by whom; does not speak the protocol's old style.
//!
//! Both ends believe nothing of what the other sends: every number is checked against a limit
//! before memory or time is spent on it, and bytes are taken for data only when each of them
//! arrived once. Threads that block, no runtime: the engine's stages are threads too.
//!
//! Source: the protocol's specification (doc/proto.md of the NBD project); DESIGN, row 1.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

mod address;
mod client;
mod error;
mod overlay;
mod server;
mod socket;
mod tls;
mod wire;

pub use address::{Address, Endpoint, PORT};
pub use client::{
    Client, ClientOptions, ExportFacts, Fragments, Listed, Mapped, Mappings, Order, Piece, Reads,
    Replies, RetryRule, list_contexts, list_exports,
};
pub use error::{Error, Result};
pub use overlay::{OVERLAY_BLOCK_BYTES, Overlay};
pub use server::{
    Access, Allocation, BlockSizes, Durability, Export, Exports, Listener, Server, ServerOptions,
    Stated, TlsPolicy, Zeroing, serve_stream,
};
pub use tls::{TlsClient, TlsServer};
