//! The server's side of the handshake.

use std::io::{self, Read, Write};
use std::sync::Arc;

use super::export::{Access, Export, Exports, text_of};
use super::{Halves, TlsPolicy};
use crate::wire::option::{self, Fact, OPTION_HEAD_BYTES};
use crate::wire::{self, Form, Malformed, answers, can, handshake, options};

/// Longest body of an option, in bytes: a name and 64 queries would be more, but not in earnest.
const OPTION_BYTES_MAX: u32 = 64 << 10;
/// Most options of one handshake: nobody needs a tenth of them.
const OPTIONS_MAX: u32 = 1000;
/// The number of our only meta context.
pub(super) const ALLOCATION_ID: u32 = 1;

/// What both sides agreed upon.
pub(super) struct Agreed {
    pub(super) export: Arc<dyn Export>,
    pub(super) form: Form,
    /// Whether `base:allocation` was selected.
    pub(super) tells_allocation: bool,
    pub(super) halves: Halves,
}

/// A handshake under way.
pub(super) struct Handshake<'a> {
    exports: &'a Exports,
    tls: &'a TlsPolicy,
    halves: Halves,
    is_encrypted: bool,
    no_zeroes: bool,
    form: Form,
    /// The export for which `base:allocation` was selected.
    selected: Option<String>,
}

/// What an option leads to.
enum Next {
    More,
    Start(Arc<dyn Export>, String),
    End,
}

impl<'a> Handshake<'a> {
    pub(super) fn new(exports: &'a Exports, tls: &'a TlsPolicy, halves: Halves) -> Self {
        Self {
            exports,
            tls,
            halves,
            is_encrypted: false,
            no_zeroes: false,
            form: Form::Simple,
            selected: None,
        }
    }

    /// Negotiates until the client opens an export; nothing if it goes away.
    pub(super) fn run(mut self) -> io::Result<Option<Agreed>> {
        self.greet()?;
        for _ in 0..OPTIONS_MAX {
            let mut head = [0; OPTION_HEAD_BYTES];
            self.halves.source.read_exact(&mut head)?;
            let (code, length) = option::decode_option_head(&head).map_err(broken)?;
            let next = match length > OPTION_BYTES_MAX {
                true => self.skip(code, length)?,
                false => {
                    let mut body = Vec::new();
                    let length = u64::from(length);
                    let mut limited = (&mut self.halves.source).take(length);
                    if limited.read_to_end(&mut body)? as u64 != length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.answer(code, &body)?
                }
            };
            match next {
                Next::More => {}
                Next::End => return Ok(None),
                Next::Start(export, name) => {
                    return Ok(Some(Agreed {
                        export,
                        form: self.form,
                        tells_allocation: self.selected.is_some_and(|it| it == name),
                        halves: self.halves,
                    }));
                }
            }
        }
        Err(broken(Malformed("the client sends options without end")))
    }

    fn greet(&mut self) -> io::Result<()> {
        let mut message = wire::GREETING_MAGIC.to_be_bytes().to_vec();
        message.extend(wire::OPTION_MAGIC.to_be_bytes());
        let flags = handshake::FIXED_NEWSTYLE | handshake::NO_ZEROES;
        message.extend(flags.to_be_bytes());
        self.send(&message)?;
        let mut answer = [0; 4];
        self.halves.source.read_exact(&mut answer)?;
        let answer = u32::from_be_bytes(answer);
        if answer & !u32::from(flags) != 0 {
            return Err(broken(Malformed("the client has flags that nobody knows")));
        }
        self.no_zeroes = answer & u32::from(handshake::NO_ZEROES) != 0;
        Ok(())
    }

    /// Reads past a body that is too long, and says so.
    fn skip(&mut self, code: u32, length: u32) -> io::Result<Next> {
        if length > wire::PAYLOAD_BYTES_MAX || code == options::EXPORT_NAME {
            return Ok(Next::End);
        }
        let mut limited = (&mut self.halves.source).take(length.into());
        if io::copy(&mut limited, &mut io::sink())? != u64::from(length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.reply(code, answers::TOO_BIG, b"at most 64 KiB")
    }

    fn answer(&mut self, code: u32, body: &[u8]) -> io::Result<Next> {
        let is_open = self.is_encrypted || !matches!(self.tls, TlsPolicy::Required(_));
        match code {
            options::ABORT => {
                // The client may be gone already: it need not wait for this.
                drop(self.reply(code, answers::ACK, &[]));
                Ok(Next::End)
            }
            options::STARTTLS => self.start_tls(body),
            options::EXPORT_NAME if is_open => self.export_name(body),
            options::EXPORT_NAME => Ok(Next::End),
            _ if !is_open => self.reply(code, answers::TLS_REQUIRED, b"begin TLS first"),
            options::LIST => self.list(body),
            options::INFO | options::GO => self.go(code, body),
            options::STRUCTURED_REPLY => self.set_form(code, body, Form::Structured),
            options::EXTENDED_HEADERS => self.set_form(code, body, Form::Extended),
            options::LIST_META_CONTEXT | options::SET_META_CONTEXT => self.contexts(code, body),
            _ => self.reply(code, answers::UNSUPPORTED, b"unknown option"),
        }
    }

    fn start_tls(&mut self, body: &[u8]) -> io::Result<Next> {
        const CODE: u32 = options::STARTTLS;
        let tls = match self.tls {
            TlsPolicy::Off => return self.reply(CODE, answers::POLICY, b"there is no TLS here"),
            TlsPolicy::Offered(tls) | TlsPolicy::Required(tls) => tls,
        };
        if self.is_encrypted || !body.is_empty() {
            return self.reply(CODE, answers::INVALID, b"TLS once, and without a body");
        }
        self.reply(CODE, answers::ACK, &[])?;
        let plain = std::mem::replace(&mut self.halves, Halves::ended());
        let (source, sink) = crate::tls::accept(tls, plain.source, plain.sink)?;
        self.halves = Halves { source, sink };
        self.is_encrypted = true;
        // What was agreed in the open does not count.
        self.form = Form::Simple;
        self.selected = None;
        Ok(Next::More)
    }

    fn export_name(&mut self, body: &[u8]) -> io::Result<Next> {
        let name = wire::fields::text(body).map_err(broken)?;
        let Some((name, export)) = self.exports.find(name) else {
            return Ok(Next::End);
        };
        let mut message = export.size().to_be_bytes().to_vec();
        message.extend(flags_of(&*export, self.form).to_be_bytes());
        if !self.no_zeroes {
            message.extend([0; 124]);
        }
        self.send(&message)?;
        Ok(Next::Start(export, name))
    }

    fn list(&mut self, body: &[u8]) -> io::Result<Next> {
        const CODE: u32 = options::LIST;
        if !body.is_empty() {
            return self.reply(CODE, answers::INVALID, b"no body belongs here");
        }
        for (name, description) in self.exports.list() {
            let body = option::encode_listed(&name, &description);
            self.reply(CODE, answers::SERVER, &body)?;
        }
        self.reply(CODE, answers::ACK, &[])
    }

    fn go(&mut self, code: u32, body: &[u8]) -> io::Result<Next> {
        let asked = match option::decode_go(body) {
            Ok((name, _)) => self.exports.find(name),
            Err(malformed) => return self.reply(code, answers::INVALID, malformed.0.as_bytes()),
        };
        let Some((name, export)) = asked else {
            return self.reply(code, answers::UNKNOWN, b"there is no such export");
        };
        let sizes = export.block_sizes();
        let flags = flags_of(&*export, self.form);
        let size = export.size();
        let mut facts = vec![
            Fact::Export { size, flags },
            Fact::Name(name.clone()),
            Fact::BlockSize {
                least: sizes.least,
                preferred: sizes.preferred,
                most: sizes.most,
            },
        ];
        let text = text_of(&*export);
        if !text.is_empty() {
            facts.push(Fact::Description(text));
        }
        for fact in &facts {
            self.reply(code, answers::INFO, &fact.encode())?;
        }
        self.reply(code, answers::ACK, &[])?;
        match code {
            options::GO => Ok(Next::Start(export, name)),
            _ => Ok(Next::More),
        }
    }

    fn set_form(&mut self, code: u32, body: &[u8], form: Form) -> io::Result<Next> {
        let is_downward = self.form == Form::Extended && form == Form::Structured;
        if !body.is_empty() || is_downward {
            return self.reply(
                code,
                answers::INVALID,
                b"no body, and the longer form stays",
            );
        }
        if self.form != form {
            self.selected = None;
        }
        self.form = form;
        self.reply(code, answers::ACK, &[])
    }

    fn contexts(&mut self, code: u32, body: &[u8]) -> io::Result<Next> {
        let is_set = code == options::SET_META_CONTEXT;
        if is_set {
            self.selected = None;
        }
        if self.form == Form::Simple {
            return self.reply(code, answers::INVALID, b"ask for structured replies first");
        }
        let (name, queries) = match option::decode_queries(body) {
            Ok(asked) => asked,
            Err(malformed) => return self.reply(code, answers::INVALID, malformed.0.as_bytes()),
        };
        let Some((name, _)) = self.exports.find(name) else {
            return self.reply(code, answers::UNKNOWN, b"there is no such export");
        };
        let is_meant = match is_set {
            true => queries.contains(&wire::ALLOCATION),
            false => {
                let mut texts = queries.iter();
                queries.is_empty() || texts.any(|text| ["base:", wire::ALLOCATION].contains(text))
            }
        };
        if is_meant {
            let id = if is_set { ALLOCATION_ID } else { 0 };
            let body = option::encode_context(id, wire::ALLOCATION);
            self.reply(code, answers::META_CONTEXT, &body)?;
            if is_set {
                self.selected = Some(name);
            }
        }
        self.reply(code, answers::ACK, &[])
    }

    fn reply(&mut self, code: u32, kind: u32, body: &[u8]) -> io::Result<Next> {
        self.send(&option::encode_answer(code, kind, body))?;
        Ok(Next::More)
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.halves.sink.write_all(message)?;
        self.halves.sink.flush()
    }
}

fn broken(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed)
}

fn flags_of(export: &dyn Export, form: Form) -> u16 {
    let mut flags = can::HAS_FLAGS | can::MULTI_CONN | can::CACHE | can::FLUSH | can::FUA;
    if form != Form::Simple {
        flags |= can::DF;
    }
    flags
        | match export.access() {
            Access::ReadOnly => can::READ_ONLY,
            Access::Writable => can::TRIM | can::WRITE_ZEROES,
        }
}
