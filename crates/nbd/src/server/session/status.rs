//! Replies to questions for the state of ranges.

use std::io;

use lifeboat_model::{ErrorKind, Extent};

use super::Session;
use crate::server::Allocation;
use crate::server::handshake::ALLOCATION_ID;
use crate::wire::request::Request;
use crate::wire::status::{self, Descriptor};
use crate::wire::{ALLOCATION_HOLE, ALLOCATION_ZERO, Form, chunks, with};
use crate::{Error, Result};

/// Most extents of one reply: 64 or 128 KiB.
const DESCRIPTORS_MAX: usize = 8 << 10;
/// Most extents of the export that are looked at for one reply.
const STATED_MAX: usize = 64 << 10;

impl Session {
    pub(super) fn status(&self, request: &Request, range: Option<Extent>) -> io::Result<()> {
        let described = match range.filter(|_| self.tells_allocation) {
            Some(range) => self.describe(request, range),
            None => Err(Error::new(ErrorKind::Invalid, "serving", "a request")
                .at(request.offset)
                .seen("no meta context was selected, or the range is empty")),
        };
        let descriptors = match described {
            Ok(descriptors) => descriptors,
            Err(error) => return self.refuse(request, &error, None),
        };
        let kind = match self.form {
            Form::Extended => chunks::EXTENDED_STATUS,
            Form::Simple | Form::Structured => chunks::STATUS,
        };
        let body = status::encode(self.form, ALLOCATION_ID, &descriptors);
        let mut message = Vec::new();
        self.chunk(request, kind, body.len() as u64, true)
            .encode(self.form, &mut message);
        self.send(&message, &body)
    }

    /// A beginning of the range, at least one extent.
    fn describe(&self, request: &Request, range: Extent) -> Result<Vec<Descriptor>> {
        let count_max = match request.flags & with::REQUEST_ONE != 0 {
            true => 1,
            false => DESCRIPTORS_MAX,
        };
        let mut found: Vec<Descriptor> = Vec::new();
        let mut at = range.start();
        for stated in self.export.extents(range).take(STATED_MAX) {
            let stated = stated?;
            if stated.extent.start() != at || stated.extent.end() > range.end() {
                break;
            }
            at = stated.extent.end();
            let flags = match stated.allocation {
                Allocation::Data => 0,
                Allocation::Zero => ALLOCATION_ZERO,
                Allocation::Hole => ALLOCATION_HOLE | ALLOCATION_ZERO,
            };
            let length = stated.extent.len();
            let is_full = found.len() == count_max;
            match found.last_mut() {
                Some(last) if last.flags == flags => last.length += length,
                _ if is_full => break,
                _ => found.push(Descriptor { length, flags }),
            }
        }
        if found.is_empty() {
            return Err(
                Error::new(ErrorKind::Corrupt, "asking for extents of", "the export")
                    .at(range.start())
                    .seen("it tells none"),
            );
        }
        Ok(found)
    }
}
