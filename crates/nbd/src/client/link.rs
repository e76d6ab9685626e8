//! One connection in transmission: heads in, requests out.

use std::io::{self, BufReader, Read, Write};

use super::fault::Fault;
use super::stream::ClientStream;
use crate::socket::write_both;
use crate::wire::reply::{EXTENDED_CHUNK_BYTES, Head, head_bytes};
use crate::wire::request::Request;
use crate::wire::{Fields, Form, Malformed, commands};

/// Bytes that are read ahead of a head; payloads go past this to where they belong.
const AHEAD_BYTES: usize = 4 << 10;

pub(super) struct Link {
    stream: BufReader<ClientStream>,
    pub(super) form: Form,
    /// Numbers of the meta contexts, in the order of the facts.
    contexts: Vec<u32>,
    is_lost: bool,
}

impl Link {
    pub(super) fn new(stream: ClientStream, form: Form, contexts: Vec<u32>) -> Self {
        Self {
            stream: BufReader::with_capacity(AHEAD_BYTES, stream),
            form,
            contexts,
            is_lost: false,
        }
    }

    /// Ends without a goodbye: the server may not be there to take it.
    pub(super) fn give_up(mut self) {
        self.is_lost = true;
    }

    /// Which of the selected contexts this number means.
    pub(super) fn context(&self, id: u32) -> Option<usize> {
        self.contexts.iter().position(|known| *known == id)
    }

    /// How many contexts answer a question for the state of ranges.
    pub(super) fn context_count(&self) -> usize {
        self.contexts.len()
    }

    pub(super) fn send(&mut self, messages: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(messages)?;
        self.stream.get_mut().flush()
    }

    pub(super) fn send_with(&mut self, message: &[u8], payload: &[u8]) -> io::Result<()> {
        write_both(self.stream.get_mut(), message, payload)
    }

    /// Reads the head of a reply or chunk.
    pub(super) fn head(&mut self) -> Result<Head, Fault> {
        let mut message = [0; EXTENDED_CHUNK_BYTES];
        let (magic, rest) = message.split_at_mut(4);
        self.stream.read_exact(magic)?;
        let count = head_bytes(self.form, Fields::of(magic).u32()?)?;
        let rest = rest.get_mut(..count - 4);
        self.stream.read_exact(rest.unwrap_or_default())?;
        Ok(Head::decode(message.get(..count).unwrap_or_default())?)
    }

    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Fault> {
        Ok(self.stream.read_exact(buffer)?)
    }

    /// Reads a payload of moderate length.
    pub(super) fn payload(&mut self, length: u64, length_max: u64) -> Result<Vec<u8>, Fault> {
        if length > length_max {
            return Err(Malformed("a payload is longer than its chunk can be").into());
        }
        let mut payload = Vec::new();
        if (&mut self.stream).take(length).read_to_end(&mut payload)? as u64 != length {
            return Err(Fault::Lost(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(payload)
    }

    /// Reads what nobody wants any more.
    pub(super) fn skip(&mut self, length: u64) -> Result<(), Fault> {
        let skipped = io::copy(&mut (&mut self.stream).take(length), &mut io::sink())?;
        match skipped == length {
            true => Ok(()),
            false => Err(Fault::Lost(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

impl Drop for Link {
    /// Says goodbye; the server does not answer.
    fn drop(&mut self) {
        if self.is_lost {
            return;
        }
        let mut message = Vec::new();
        let goodbye = Request {
            flags: 0,
            command: commands::DISCONNECT,
            cookie: 0,
            offset: 0,
            length: 0,
        };
        goodbye.encode(self.form, &mut message);
        drop(self.send(&message));
    }
}
