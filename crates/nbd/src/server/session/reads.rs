//! Replies to reads.

use std::io;

use lifeboat_model::{ErrorKind, Extent};

use super::{Buffers, PIECE_BYTES, Session};
use crate::server::Allocation;
use crate::wire::reply::Head;
use crate::wire::request::Request;
use crate::wire::{Form, chunks, with};
use crate::{Error, Result};

/// Shorter holes are sent as data: a chunk costs more.
const HOLE_BYTES_MIN: u64 = 4 << 10;
/// Most extents that are looked at for one read; the rest of it is data.
const EXTENTS_MAX: usize = 1024;

impl Session {
    /// Says whether a read's reply must be known to its end before it begins.
    pub(super) fn needs_whole(&self, request: &Request) -> bool {
        self.form == Form::Simple || request.flags & with::DF != 0
    }

    pub(super) fn read(
        &self,
        request: &Request,
        range: Option<Extent>,
        buffers: &mut Buffers,
    ) -> io::Result<()> {
        match range {
            None => self.read_nothing(request),
            Some(range) if self.needs_whole(request) => self.read_whole(request, range, buffers),
            Some(range) => self.read_pieces(request, range, buffers),
        }
    }

    fn read_nothing(&self, request: &Request) -> io::Result<()> {
        let head = match self.form {
            Form::Simple => Head::Simple {
                error: 0,
                cookie: request.cookie,
            },
            Form::Structured | Form::Extended => self.chunk(request, chunks::NONE, 0, true),
        };
        let mut message = Vec::new();
        head.encode(self.form, &mut message);
        self.send(&message, &[])
    }

    /// One simple reply or one chunk.
    fn read_whole(
        &self,
        request: &Request,
        range: Extent,
        buffers: &mut Buffers,
    ) -> io::Result<()> {
        let payload = &mut buffers.payload;
        payload.resize(usize::try_from(range.len()).unwrap_or(usize::MAX), 0);
        if let Err(error) = self.export.read_at(range.start(), payload) {
            return self.refuse(request, &error, None);
        }
        if self.form != Form::Simple {
            return self.send_data(request, range, true, payload, &mut buffers.head);
        }
        buffers.head.clear();
        let head = Head::Simple {
            error: 0,
            cookie: request.cookie,
        };
        head.encode(self.form, &mut buffers.head);
        self.send(&buffers.head, payload)
    }

    /// Data in pieces, holes as such.
    fn read_pieces(
        &self,
        request: &Request,
        range: Extent,
        buffers: &mut Buffers,
    ) -> io::Result<()> {
        let parts = match self.parts(range) {
            Ok(parts) => parts,
            Err(error) => return self.refuse(request, &error, Some(range.start())),
        };
        for (extent, is_hole) in parts {
            let is_end = extent.end() == range.end();
            if is_hole {
                self.send_hole(request, extent, is_end)?;
                continue;
            }
            let mut at = extent.start();
            while let Some(rest) = Extent::new(at, extent.end()) {
                let length = rest.len().min(PIECE_BYTES as u64);
                at += length;
                let Some(piece) = Extent::at(rest.start(), length) else {
                    break;
                };
                let bytes = &mut buffers.piece;
                bytes.resize(usize::try_from(length).unwrap_or(PIECE_BYTES), 0);
                if let Err(error) = self.export.read_at(piece.start(), bytes) {
                    return self.refuse(request, &error, Some(piece.start()));
                }
                let is_last = is_end && at == extent.end();
                self.send_data(request, piece, is_last, bytes, &mut buffers.head)?;
            }
        }
        Ok(())
    }

    /// The range cut into data and holes: in order, without gaps.
    fn parts(&self, range: Extent) -> Result<Vec<(Extent, bool)>> {
        let mut parts: Vec<(Extent, bool)> = Vec::new();
        let mut at = range.start();
        for stated in self.export.extents(range).take(EXTENTS_MAX) {
            let stated = stated?;
            if stated.extent.start() != at || stated.extent.end() > range.end() {
                return Err(Error::new(ErrorKind::Corrupt, "reading", "the export")
                    .at(at)
                    .seen("its extents do not follow each other"));
            }
            let is_hole = stated.allocation != Allocation::Data
                && (stated.extent.len() >= HOLE_BYTES_MIN || stated.extent == range);
            at = stated.extent.end();
            push(&mut parts, stated.extent, is_hole);
        }
        if let Some(rest) = Extent::new(at, range.end()) {
            push(&mut parts, rest, false);
        }
        Ok(parts)
    }

    fn send_hole(&self, request: &Request, extent: Extent, is_last: bool) -> io::Result<()> {
        let mut message = Vec::new();
        self.chunk(request, chunks::HOLE, 12, is_last)
            .encode(self.form, &mut message);
        message.extend(extent.start().to_be_bytes());
        // Reads are shorter than 4 GiB.
        let length = u32::try_from(extent.len()).unwrap_or(u32::MAX);
        message.extend(length.to_be_bytes());
        self.send(&message, &[])
    }

    fn send_data(
        &self,
        request: &Request,
        extent: Extent,
        is_last: bool,
        bytes: &[u8],
        head: &mut Vec<u8>,
    ) -> io::Result<()> {
        head.clear();
        self.chunk(request, chunks::DATA, 8 + bytes.len() as u64, is_last)
            .encode(self.form, head);
        head.extend(extent.start().to_be_bytes());
        self.send(head, bytes)
    }
}

/// Adds a part, joined with the one before where both are data.
fn push(parts: &mut Vec<(Extent, bool)>, extent: Extent, is_hole: bool) {
    match parts.last_mut() {
        Some((last, false)) if !is_hole => {
            *last = Extent::new(last.start(), extent.end()).unwrap_or(*last);
        }
        _ => parts.push((extent, is_hole)),
    }
}
