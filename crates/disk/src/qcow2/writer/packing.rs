//! Compressing clusters.

use std::sync::{Mutex, PoisonError};

use zstd::bulk::Compressor;

use super::ClusterCompression;

/// Encoders that threads borrow and give back.
pub(super) struct Packers {
    level: i32,
    cluster_length: usize,
    idle: Mutex<Vec<Compressor<'static>>>,
}

impl Packers {
    /// Nothing if clusters are to be stored as they are.
    pub(super) fn new(compression: ClusterCompression, cluster_length: usize) -> Option<Self> {
        match compression {
            ClusterCompression::None => None,
            ClusterCompression::Zstd { level } => {
                let level = level.clamp(1, 19);
                Some(Self {
                    level,
                    cluster_length,
                    idle: Mutex::new(Vec::new()),
                })
            }
        }
    }

    /// The cluster's bytes as one zstd frame, padded with zeros to a cluster before; nothing if
    /// that saves no sector.
    pub(super) fn pack(&self, content: &[u8]) -> Option<Vec<u8>> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let borrowed = idle().pop();
        let mut compressor = borrowed.or_else(|| Compressor::new(self.level).ok())?;
        let mut packed = vec![0; self.cluster_length.saturating_sub(512)];
        let length = if content.len() == self.cluster_length {
            compressor.compress_to_buffer(content, packed.as_mut_slice())
        } else {
            let mut whole = content.to_vec();
            whole.resize(self.cluster_length, 0);
            compressor.compress_to_buffer(&whole, packed.as_mut_slice())
        };
        idle().push(compressor);
        packed.truncate(length.ok()?);
        (!packed.is_empty()).then_some(packed)
    }
}
