//! The client's side of the handshake.
//!
//! Source: doc/proto.md of the NBD project, "Fixed newstyle negotiation", "Option types".

use std::fmt;
use std::io::{Read, Write};

use lifeboat_model::ErrorKind;

use super::fault::Fault;
use super::stream::ClientStream;
use super::{ExportFacts, Listed, Replies};
use crate::error::shown;
use crate::wire::option::{self, ANSWER_HEAD_BYTES, Fact};
use crate::wire::{self, Fields, Form, Malformed, answers, can, facts, handshake, options};
use crate::{Address, Error, Result, TlsClient};

const DOING: &str = "opening";
/// Longest answer to an option, in bytes: two texts and some numbers.
const ANSWER_BYTES_MAX: u32 = 16 << 10;
/// Most answers to one option: exports or meta contexts of a server.
const ANSWERS_MAX: usize = 10_000;
/// Largest disk, in bytes: offsets of files are signed.
const SIZE_MAX: u64 = i64::MAX.cast_unsigned();

/// What both sides agreed upon.
pub(super) struct Agreed {
    pub(super) facts: ExportFacts,
    pub(super) form: Form,
    /// Numbers of the contexts in `facts.contexts`, in the same order.
    pub(super) contexts: Vec<u32>,
}

/// What the client would like.
pub(super) struct Wishes<'a> {
    pub(super) address: &'a Address,
    pub(super) replies: Replies,
    pub(super) contexts: &'a [String],
}

/// A handshake under way.
pub(super) struct Handshake<'a> {
    stream: ClientStream,
    place: &'a dyn fmt::Display,
    no_zeroes: bool,
}

/// An answer to an option, its failing ones as text.
enum Answer {
    Ack,
    Part(u32, Vec<u8>),
    Failed(u32, String),
}

impl<'a> Handshake<'a> {
    /// Greets the server; under TLS if the address says so.
    pub(super) fn begin(
        stream: ClientStream,
        address: &'a Address,
        tls: Option<&TlsClient>,
    ) -> Result<Self> {
        let mut this = Self {
            stream,
            place: address,
            no_zeroes: false,
        };
        let flags = this.greeting().map_err(|fault| this.named(fault))?;
        if flags & handshake::FIXED_NEWSTYLE == 0 {
            return Err(this.refused(ErrorKind::Unsupported, "the server is too old to negotiate"));
        }
        this.no_zeroes = flags & handshake::NO_ZEROES != 0;
        let known = handshake::FIXED_NEWSTYLE | handshake::NO_ZEROES;
        let answer = u32::from(flags & known).to_be_bytes();
        this.stream
            .write_all(&answer)
            .map_err(|cause| this.named(cause.into()))?;
        match (address.is_encrypted(), tls) {
            (false, _) => Ok(this),
            (true, Some(tls)) => this.encrypt(address, tls),
            (true, None) => {
                let seen = "the address asks for TLS: name the folder with ca-cert.pem";
                Err(this.refused(ErrorKind::Invalid, seen))
            }
        }
    }

    fn greeting(&mut self) -> std::result::Result<u16, Fault> {
        let mut message = [0; 18];
        self.stream.read_exact(&mut message)?;
        let mut fields = Fields::of(&message);
        if fields.u64()? != wire::GREETING_MAGIC || fields.u64()? != wire::OPTION_MAGIC {
            return Err(Malformed("this is no NBD server, or one of the old style").into());
        }
        Ok(fields.u16()?)
    }

    fn encrypt(mut self, address: &Address, tls: &TlsClient) -> Result<Self> {
        match self.ask(options::STARTTLS, &[])? {
            Answer::Ack => {}
            Answer::Part(..) => return Err(self.odd()),
            // Going on without TLS is what an attacker would like.
            Answer::Failed(kind, text) => return Err(self.failed(kind, &text)),
        }
        let state = tls.begin(address.endpoint())?;
        let stream = self.stream.encrypted(state).map_err(|cause| {
            let kind = match cause.kind() {
                std::io::ErrorKind::InvalidData => ErrorKind::Denied,
                _ => ErrorKind::Unreachable,
            };
            Error::new(kind, "beginning TLS with", self.place)
                .seen(cause.to_string())
                .because(cause)
        })?;
        Ok(Self { stream, ..self })
    }

    /// Agrees upon an export and goes over to the transmission.
    pub(super) fn open(mut self, wishes: &Wishes<'_>) -> Result<(ClientStream, Agreed)> {
        let form = self.form(wishes.replies)?;
        let export = wishes.address.export();
        let mut contexts = Vec::new();
        if form != Form::Simple && !wishes.contexts.is_empty() {
            contexts = self.contexts(export, wishes.contexts)?;
        }
        let mut facts = match self.go(export)? {
            Some(facts) => facts,
            None => self.export_name(export)?,
        };
        facts.contexts = contexts.iter().map(|(_, name)| name.clone()).collect();
        facts.has_long_requests = form == Form::Extended;
        facts.has_structured_replies = form != Form::Simple;
        let contexts = contexts.into_iter().map(|(id, _)| id).collect();
        let agreed = Agreed {
            facts,
            form,
            contexts,
        };
        Ok((self.stream, agreed))
    }

    fn form(&mut self, replies: Replies) -> Result<Form> {
        let wanted: &[(u32, Form)] = match replies {
            Replies::Best => &[
                (options::EXTENDED_HEADERS, Form::Extended),
                (options::STRUCTURED_REPLY, Form::Structured),
            ],
            Replies::Structured => &[(options::STRUCTURED_REPLY, Form::Structured)],
            Replies::Simple => &[],
        };
        for (code, form) in wanted {
            match self.ask(*code, &[])? {
                Answer::Ack => return Ok(*form),
                Answer::Part(..) => return Err(self.odd()),
                Answer::Failed(answers::TLS_REQUIRED, text) => {
                    return Err(self.failed(answers::TLS_REQUIRED, &text));
                }
                Answer::Failed(..) => {}
            }
        }
        Ok(Form::Simple)
    }

    /// Selects meta contexts; gives those that the server has.
    fn contexts(&mut self, export: &str, wanted: &[String]) -> Result<Vec<(u32, String)>> {
        let body = option::encode_queries(export, wanted);
        self.send(options::SET_META_CONTEXT, &body)?;
        let mut found: Vec<(u32, String)> = Vec::new();
        loop {
            match self.answer(options::SET_META_CONTEXT)? {
                Answer::Ack => return Ok(found),
                Answer::Part(answers::META_CONTEXT, body) => {
                    let (id, name) = self.read(option::decode_context(&body))?;
                    let is_known = found
                        .iter()
                        .any(|(known, text)| *known == id || text == name);
                    if is_known || !wanted.iter().any(|wanted| wanted == name) {
                        return Err(self.odd());
                    }
                    found.push((id, name.to_owned()));
                }
                Answer::Part(..) => return Err(self.odd()),
                Answer::Failed(answers::UNSUPPORTED, _) => return Ok(Vec::new()),
                Answer::Failed(kind, text) => return Err(self.failed(kind, &text)),
            }
        }
    }

    /// Goes over to the transmission; nothing if the server does not know this option.
    fn go(&mut self, export: &str) -> Result<Option<ExportFacts>> {
        let asked = [facts::BLOCK_SIZE, facts::DESCRIPTION];
        self.send(options::GO, &option::encode_go(export, &asked))?;
        let mut parts = Vec::new();
        loop {
            match self.answer(options::GO)? {
                Answer::Ack => break,
                Answer::Part(answers::INFO, body) if parts.len() < 64 => {
                    parts.push(self.read(Fact::decode(&body))?);
                }
                Answer::Part(..) => return Err(self.odd()),
                Answer::Failed(answers::UNSUPPORTED, _) => return Ok(None),
                Answer::Failed(kind, text) => return Err(self.failed(kind, &text)),
            }
        }
        self.read(facts_of(&parts)).map(Some)
    }

    /// The way of servers that do not know GO: they hang up where they disagree.
    fn export_name(&mut self, export: &str) -> Result<ExportFacts> {
        self.send(options::EXPORT_NAME, export.as_bytes())?;
        let length = if self.no_zeroes { 10 } else { 134 };
        let mut message = vec![0; length];
        self.stream.read_exact(&mut message).map_err(|cause| {
            self.refused(ErrorKind::NotFound, "the server does not give this export")
                .because(cause)
        })?;
        let mut fields = Fields::of(&message);
        let found = fields.u64().and_then(|size| {
            let flags = fields.u16()?;
            facts_of(&[Fact::Export { size, flags }])
        });
        self.read(found)
    }

    /// Lists the server's exports.
    pub(super) fn list(&mut self) -> Result<Vec<Listed>> {
        self.send(options::LIST, &[])?;
        let mut found = Vec::new();
        loop {
            match self.answer(options::LIST)? {
                Answer::Ack => return Ok(found),
                Answer::Part(answers::SERVER, body) if found.len() < ANSWERS_MAX => {
                    let (name, description) = self.read(option::decode_listed(&body))?;
                    found.push(Listed {
                        name: name.to_owned(),
                        description: description.to_owned(),
                    });
                }
                Answer::Part(..) => return Err(self.odd()),
                Answer::Failed(kind, text) => return Err(self.failed(kind, &text)),
            }
        }
    }

    /// Lists the meta contexts of an export that begin with one of the queries, or all.
    pub(super) fn list_contexts(
        &mut self,
        export: &str,
        queries: &[String],
    ) -> Result<Vec<String>> {
        if self.form(Replies::Structured)? == Form::Simple {
            return Ok(Vec::new());
        }
        let body = option::encode_queries(export, queries);
        self.send(options::LIST_META_CONTEXT, &body)?;
        let mut found = Vec::new();
        loop {
            match self.answer(options::LIST_META_CONTEXT)? {
                Answer::Ack => return Ok(found),
                Answer::Part(answers::META_CONTEXT, body) if found.len() < ANSWERS_MAX => {
                    let (_, name) = self.read(option::decode_context(&body))?;
                    found.push(name.to_owned());
                }
                Answer::Part(..) => return Err(self.odd()),
                Answer::Failed(answers::UNSUPPORTED, _) => return Ok(Vec::new()),
                Answer::Failed(kind, text) => return Err(self.failed(kind, &text)),
            }
        }
    }

    /// Says goodbye before the transmission; the server's answer is not waited for.
    pub(super) fn abort(mut self) {
        drop(self.send(options::ABORT, &[]));
    }

    fn ask(&mut self, code: u32, body: &[u8]) -> Result<Answer> {
        self.send(code, body)?;
        self.answer(code)
    }

    fn send(&mut self, code: u32, body: &[u8]) -> Result<()> {
        let message = option::encode_option(code, body);
        let sent = self.stream.write_all(&message);
        sent.and_then(|()| self.stream.flush())
            .map_err(|cause| self.named(cause.into()))
    }

    fn answer(&mut self, code: u32) -> Result<Answer> {
        let received = self.receive(code);
        received.map_err(|fault| self.named(fault))
    }

    fn receive(&mut self, code: u32) -> std::result::Result<Answer, Fault> {
        let mut head = [0; ANSWER_HEAD_BYTES];
        self.stream.read_exact(&mut head)?;
        let head = option::decode_answer_head(&head)?;
        if head.option != code {
            return Err(Malformed("an answer is for another option").into());
        }
        if head.length > ANSWER_BYTES_MAX {
            return Err(Malformed("an answer is longer than 16 KiB").into());
        }
        let mut body = Vec::new();
        let length = u64::from(head.length);
        if (&mut self.stream).take(length).read_to_end(&mut body)? as u64 != length {
            return Err(Fault::Lost(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(match head.kind {
            answers::ACK => Answer::Ack,
            kind if kind & answers::FAILURE != 0 => Answer::Failed(kind, shown(&body)),
            kind => Answer::Part(kind, body),
        })
    }

    fn read<T>(&self, decoded: std::result::Result<T, Malformed>) -> Result<T> {
        decoded.map_err(|malformed| self.named(malformed.into()))
    }

    fn named(&self, fault: Fault) -> Error {
        fault.named(DOING, self.place)
    }

    fn odd(&self) -> Error {
        self.named(Malformed("an answer does not fit its option, or comes too often").into())
    }

    fn refused(&self, kind: ErrorKind, seen: &'static str) -> Error {
        Error::new(kind, DOING, self.place).seen(seen)
    }

    fn failed(&self, kind: u32, text: &str) -> Error {
        let sort = match kind {
            answers::UNSUPPORTED | answers::BLOCK_SIZE_REQUIRED => ErrorKind::Unsupported,
            answers::POLICY | answers::TLS_REQUIRED => ErrorKind::Denied,
            answers::UNKNOWN => ErrorKind::NotFound,
            answers::SHUTDOWN => ErrorKind::Unreachable,
            _ => ErrorKind::Invalid,
        };
        let mut seen = option::failure(kind).to_owned();
        if !text.is_empty() {
            seen.push_str(": ");
            seen.push_str(text);
        }
        Error::new(sort, DOING, self.place).seen(seen)
    }
}

/// The facts of an export, checked.
fn facts_of(parts: &[Fact]) -> std::result::Result<ExportFacts, Malformed> {
    let mut found = ExportFacts::default();
    let mut export = None;
    for part in parts {
        match part {
            Fact::Export { size, flags } => export = Some((*size, *flags)),
            Fact::BlockSize {
                least,
                preferred,
                most,
            } => {
                check_block_sizes(*least, *preferred, *most)?;
                found.block_bytes_min = *least;
                found.block_bytes_preferred = *preferred;
                // Some say "no limit"; there always is one.
                found.request_bytes_max = (*most).min(wire::PAYLOAD_BYTES_MAX.max(*least));
            }
            Fact::Description(text) => found.description.clone_from(text),
            Fact::Name(_) | Fact::Unknown => {}
        }
    }
    let (size, flags) = export.ok_or(Malformed("the export's size is not told"))?;
    if size > SIZE_MAX {
        return Err(Malformed("the export is larger than disks can be"));
    }
    let has = |flag: u16| flags & can::HAS_FLAGS != 0 && flags & flag != 0;
    found.size = size;
    found.is_read_only = has(can::READ_ONLY);
    found.can_flush = has(can::FLUSH);
    found.can_force = has(can::FUA);
    found.can_trim = has(can::TRIM);
    found.can_write_zeroes = has(can::WRITE_ZEROES);
    found.can_read_whole = has(can::DF);
    found.can_share = has(can::MULTI_CONN);
    found.can_prefetch = has(can::CACHE);
    Ok(found)
}

fn check_block_sizes(least: u32, preferred: u32, most: u32) -> std::result::Result<(), Malformed> {
    let is_sound = least.is_power_of_two()
        && least <= 64 << 10
        && preferred.is_power_of_two()
        && preferred >= least
        && most >= least
        && (most == u32::MAX || most.is_multiple_of(least));
    match is_sound {
        true => Ok(()),
        false => Err(Malformed("the export's block sizes contradict each other")),
    }
}
