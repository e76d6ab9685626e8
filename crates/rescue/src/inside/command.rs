//! Commands inside a restored system.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use lifeboat_model::ErrorKind;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::mount::MountFlags;
use rustix::process::{Pid, Signal};

use super::mounts::with_place;
use super::outlet::Outlet;
use super::places;
use super::serve::Refusal;
use super::survey::Survey;
use crate::wire::{ENTER_WORD, Reply};

/// How a shell tells that there is no such program.
const NOT_FOUND: u8 = 127;
const SIGNAL: u32 = 128;
const PIECE_BYTES: usize = 16 << 10;
const STEP: Duration = Duration::from_millis(50);
/// How long output of what a command left behind is waited for.
const AFTER_STEPS: u32 = 10;

/// What a system expects to be there.
const MOUNTS: [(&str, &str); 4] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
];

/// Says whether commands can run at all.
pub(super) fn may_run(survey: &Survey, is_writable: bool) -> Result<(), Refusal> {
    if !is_writable {
        let text = "the disks are not writable here: commands run with `Access::Write` only";
        return Err(Refusal::new(ErrorKind::Unsupported, text));
    }
    if !survey.has_system {
        let text = "no operating system is found on the disks";
        return Err(Refusal::new(ErrorKind::NotFound, text));
    }
    Ok(())
}

/// Runs a command and sends its output. The outer error is the channel's.
pub(super) fn run(
    outlet: &mut Outlet,
    words: &[Vec<u8>],
    environment: &[Vec<u8>],
    seconds_max: u32,
) -> io::Result<Result<Reply, Refusal>> {
    mount_surroundings();
    let (mut child, mut output) = match start(words, environment) {
        Ok(started) => started,
        Err(error) => return Ok(Err(Refusal::new(ErrorKind::Io, error.to_string()))),
    };
    let group = Pid::from_child(&child);
    let steps_max = u64::from(seconds_max) * 1000 / STEP.as_millis() as u64;
    let (mut steps, mut steps_after) = (0, 0);
    let mut is_timed_out = false;
    let mut ended: Option<ExitStatus> = None;
    while steps_after < AFTER_STEPS {
        let has_ended = ended.is_some();
        match forward(outlet, &mut output)? {
            Forwarded::Some => {}
            Forwarded::None => {
                steps += 1;
                steps_after += u32::from(has_ended);
            }
            Forwarded::All if has_ended => break,
            Forwarded::All => {
                std::thread::sleep(STEP);
                steps += 1;
            }
        }
        ended = ended.or(child.try_wait()?);
        if ended.is_none() && (steps >= steps_max || !outlet.goes_on()?) {
            is_timed_out = true;
            // It is waited for: there is no way to survive.
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
            ended = Some(child.wait()?);
        }
    }
    // What it left running must not hold the volumes.
    let _ = rustix::process::kill_process_group(group, Signal::KILL);
    Ok(Ok(Reply::Exited {
        code: ended.map_or(SIGNAL, code_of),
        is_timed_out,
    }))
}

fn code_of(status: ExitStatus) -> u32 {
    let code = status.code().map(|code| code as u32);
    code.unwrap_or_else(|| SIGNAL + status.signal().unwrap_or(0) as u32)
}

fn mount_surroundings() {
    for (kind, path) in MOUNTS {
        // A second command finds them mounted; a system without the folder does without.
        let _ = with_place(path, |place| {
            let mounted = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
            let line_part = format!(" {}{path} ", places::SYSTEM);
            if mounted.contains(&line_part) {
                return Ok(());
            }
            let flags = MountFlags::NOSUID;
            rustix::mount::mount(kind, place, kind, flags, None).map_err(|it| it.to_string())
        });
    }
}

fn start(words: &[Vec<u8>], environment: &[Vec<u8>]) -> io::Result<(Child, io::PipeReader)> {
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let as_words = |words: &[Vec<u8>]| -> Vec<OsString> {
        words.iter().cloned().map(OsString::from_vec).collect()
    };
    let child = Command::new(places::INIT)
        .arg(ENTER_WORD)
        .arg(environment.len().to_string())
        .args(as_words(environment))
        .args(as_words(words))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    Ok((child, reader))
}

/// What came of looking for output once.
enum Forwarded {
    Some,
    None,
    /// Nobody holds the other end any more.
    All,
}

fn forward(outlet: &mut Outlet, output: &mut io::PipeReader) -> io::Result<Forwarded> {
    let mut polled = [PollFd::new(&*output, PollFlags::IN)];
    let step = Timespec {
        tv_sec: 0,
        tv_nsec: STEP.subsec_nanos().into(),
    };
    if rustix::event::poll(&mut polled, Some(&step))? == 0 {
        return Ok(Forwarded::None);
    }
    let mut piece = [0; PIECE_BYTES];
    match output.read(&mut piece) {
        Ok(0) => Ok(Forwarded::All),
        Ok(length) => {
            outlet.send(&Reply::Output(piece[..length].to_vec()))?;
            Ok(Forwarded::Some)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Forwarded::None),
        Err(error) => Err(error),
    }
}

/// The other end of [`start`]: enters the system's tree and becomes the command.
///
/// `arguments` are: how many variables, the variables, the command's words.
pub(super) fn enter(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let count = arguments.next().and_then(|it| it.to_str()?.parse().ok());
    let variables: Vec<_> = arguments.by_ref().take(count.unwrap_or(0)).collect();
    let Some(program) = arguments.next() else {
        eprintln!("there is no command");
        return ExitCode::from(NOT_FOUND);
    };
    if let Err(error) =
        std::os::unix::fs::chroot(places::SYSTEM).and_then(|()| std::env::set_current_dir("/"))
    {
        eprintln!("entering the system: {error}");
        return ExitCode::from(NOT_FOUND);
    }
    let mut command = Command::new(&program);
    command.args(arguments).env_clear();
    for variable in &variables {
        let bytes = variable.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b'=');
        let (name, value) = bytes.split_at(at.unwrap_or(bytes.len()));
        let value = value.strip_prefix(b"=").unwrap_or_default();
        command.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
    }
    let error = command.exec();
    eprintln!("{}: {error}", program.display());
    ExitCode::from(NOT_FOUND)
}
