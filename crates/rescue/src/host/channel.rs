//! The host's end of the channel: bounded, patient, and suspicious.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lifeboat_model::CancelToken;

use super::qemu::SLICE;
use super::settings::Patience;
use crate::wire::{FRAME_BYTES_MAX, Malformed, Reply, Request, write_frame};

/// Why nothing more comes.
#[derive(Debug)]
pub(super) enum Lost {
    /// The rescue VM ended.
    Ended,
    /// It gave no sign of life for so long, or did not come to an end.
    Silent(Duration),
    Cancelled,
    Malformed(Malformed),
    /// An answer that has no place here.
    OutOfTurn(&'static str),
    Io(io::Error),
}

#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    patience: Patience,
    cancel: CancelToken,
    body: Vec<u8>,
    /// Time of this process spent waiting for the present answer.
    spent: Duration,
}

impl Channel {
    pub(super) fn new(
        stream: UnixStream,
        patience: Patience,
        cancel: &CancelToken,
    ) -> io::Result<Self> {
        stream.set_read_timeout(Some(SLICE))?;
        stream.set_write_timeout(Some(patience.silence.max(SLICE)))?;
        Ok(Self {
            stream,
            patience,
            cancel: cancel.clone(),
            body: Vec::new(),
            spent: Duration::ZERO,
        })
    }

    pub(super) fn send(&mut self, request: &Request) -> Result<(), Lost> {
        self.spent = Duration::ZERO;
        let mut frame = Vec::new();
        write_frame(&mut frame, &request.encode()).map_err(Lost::Io)?;
        self.stream.write_all(&frame).map_err(Lost::of)
    }

    /// The next answer that is news.
    pub(super) fn receive(&mut self) -> Result<Reply, Lost> {
        let begin = self.spent;
        loop {
            match self.receive_any(self.patience.silence)? {
                Reply::Alive if self.spent - begin < self.patience.progress => {}
                Reply::Alive => return Err(Lost::Silent(self.patience.progress)),
                reply => return Ok(reply),
            }
        }
    }

    /// The next answer, which must come in that time.
    pub(super) fn receive_any(&mut self, silence: Duration) -> Result<Reply, Lost> {
        let mut length = [0; 4];
        self.fill(&mut length, silence)?;
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 || length > FRAME_BYTES_MAX {
            return Err(Lost::OutOfTurn("a frame has no fitting length"));
        }
        let mut body = std::mem::take(&mut self.body);
        body.resize(length, 0);
        let filled = self.fill(&mut body, silence);
        self.body = body;
        filled?;
        Reply::decode(&self.body).map_err(Lost::Malformed)
    }

    fn fill(&mut self, buffer: &mut [u8], silence: Duration) -> Result<(), Lost> {
        let mut filled = 0;
        let mut waited = Duration::ZERO;
        while filled < buffer.len() {
            let began = Instant::now();
            let read = self.stream.read(&mut buffer[filled..]);
            // A process that was stopped meanwhile has not waited.
            let slice = began.elapsed().min(SLICE);
            self.spent += slice;
            match read {
                Ok(0) => return Err(Lost::Ended),
                Ok(length) => {
                    filled += length;
                    waited = Duration::ZERO;
                }
                Err(error) if is_timeout(&error) => waited += slice,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Lost::of(error)),
            }
            if self.cancel.is_cancelled() {
                return Err(Lost::Cancelled);
            }
            if waited >= silence {
                return Err(Lost::Silent(silence));
            }
            if let Some(limit) = self.patience.answer.filter(|limit| self.spent >= *limit) {
                return Err(Lost::Silent(limit));
            }
        }
        Ok(())
    }
}

impl Lost {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Ended,
            _ => Self::Io(error),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(patience: Patience) -> (Channel, UnixStream, CancelToken) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let cancel = CancelToken::new();
        let channel = Channel::new(ours, patience, &cancel).unwrap();
        (channel, theirs, cancel)
    }

    #[test]
    fn silence_chatter_and_nonsense_come_to_an_end() {
        let patience = Patience {
            silence: Duration::from_millis(200),
            progress: Duration::ZERO,
            ..Patience::default()
        };
        let (mut channel, mut theirs, cancel) = pair(patience);
        assert!(matches!(channel.receive(), Err(Lost::Silent(_))));
        write_frame(&mut theirs, &Reply::Alive.encode()).unwrap();
        assert!(matches!(channel.receive(), Err(Lost::Silent(_))));
        write_frame(&mut theirs, &Reply::Done.encode()).unwrap();
        assert_eq!(channel.receive().unwrap(), Reply::Done);
        write_frame(&mut theirs, &[200]).unwrap();
        assert!(matches!(channel.receive(), Err(Lost::Malformed(_))));
        theirs.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert!(matches!(channel.receive(), Err(Lost::OutOfTurn(_))));
        cancel.cancel();
        assert!(matches!(channel.receive(), Err(Lost::Cancelled)));
        drop(theirs);
        let (mut channel, theirs, _) = pair(patience);
        drop(theirs);
        assert!(matches!(channel.receive(), Err(Lost::Ended)));
    }
}
