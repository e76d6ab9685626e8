//! `lifeboat files mount`

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use lifeboat_control::Inside;
use lifeboat_model::ErrorKind;
use lifeboat_mount::{Audience, Mounted, Shown, Source, check, mount};
use lifeboat_repository::Snapshot;
use lifeboat_rescue::wire::Entry;
use lifeboat_rescue::{GuestPath, LastLink, Listed, Rescue};

use super::{enter_owned, inner};
use crate::args::FilesMountArguments;
use crate::context::Context;
use crate::error::{Error, Result};

/// Between two looks whether the mount is to end.
const POLL: Duration = Duration::from_millis(100);

/// Shows files inside disks until somebody ends it.
pub(super) fn run(context: &Context, arguments: &FilesMountArguments) -> Result<u8> {
    // Before the rescue VM boots: nobody should wait for a refusal.
    let folder = check(&arguments.mountpoint)?;
    let (place, rescue) = (&arguments.place, &arguments.rescue);
    enter_owned(context, place, rescue, |mut inside, path, snapshot| {
        let shown = shown(inside.rescue(), path)?;
        let shared = Shared(Arc::new(Mutex::new(State {
            inside: Some(inside),
            lost: None,
        })));
        let audience = match arguments.allow_other {
            true => Audience::Everybody,
            false => Audience::Owner,
        };
        let name = format!("lifeboat-{}", snapshot.id.short());
        let mounted = mount(shared.clone(), shown, &folder, &name, audience);
        let mounted = match (mounted, shared.take_lost()) {
            (_, Some(lost)) => return Err(inner(lost)),
            (mounted, None) => mounted?,
        };
        serve(context, mounted, &shared, &folder, snapshot)
    })
}

fn shown(rescue: &Rescue, path: Option<GuestPath>) -> Result<Shown> {
    if let Some(path) = path {
        return Ok(Shown::Folder {
            volume: path.volume().map(str::to_owned),
            path: path.path().to_vec(),
        });
    }
    let readable = rescue.volumes().iter().filter(|it| it.is_readable);
    let names: Vec<String> = readable.map(|it| it.name.clone()).collect();
    if names.is_empty() {
        let message = "no volume of the machine can be read: 'lifeboat files ls' says why";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    Ok(Shown::Volumes(names))
}

/// Waits for a signal, for somebody who unmounts, or for the end of the rescue VM.
fn serve(
    context: &Context,
    mounted: Mounted,
    shared: &Shared,
    folder: &Path,
    snapshot: &Snapshot,
) -> Result<u8> {
    let (id, at) = (snapshot.id.short(), folder.display());
    context.output.tell(format!(
        "snapshot {id} is at {at}, read-only, until Ctrl-C or 'umount {at}'"
    ))?;
    let cancel = &context.environment.cancel;
    while !cancel.is_cancelled() && !mounted.is_over() && !shared.is_lost() {
        context.environment.clock.sleep(POLL);
    }
    let is_empty = mounted.end()?;
    if !is_empty {
        let text = "somebody still uses files there: it can no longer be entered, and goes with \
                    the last one who leaves";
        context.output.warn(text);
    }
    let (inside, lost) = shared.take();
    if let Some(lost) = lost.filter(|_| !cancel.is_cancelled()) {
        return Err(inner(lost));
    }
    if let Some(inside) = inside.filter(|_| !cancel.is_cancelled()) {
        inside.finish()?;
    }
    context.output.tell("unmounted")?;
    Ok(0)
}

/// The rescue VM, asked from the thread that answers the kernel.
#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

struct State {
    inside: Option<Inside>,
    /// Why there is no rescue VM any more.
    lost: Option<lifeboat_rescue::Error>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    /// Does not wait for an answer that is on its way.
    fn is_lost(&self) -> bool {
        self.0.try_lock().is_ok_and(|state| state.lost.is_some())
    }

    fn take_lost(&self) -> Option<lifeboat_rescue::Error> {
        self.state().lost.take()
    }

    fn take(&self) -> (Option<Inside>, Option<lifeboat_rescue::Error>) {
        let mut state = self.state();
        (state.inside.take(), state.lost.take())
    }

    fn ask<T>(
        &self,
        question: impl FnOnce(&mut Rescue) -> lifeboat_rescue::Result<T>,
    ) -> std::result::Result<T, ErrorKind> {
        let mut state = self.state();
        let rescue = state.inside.as_mut().map(Inside::rescue);
        let rescue = rescue.ok_or(ErrorKind::Unreachable)?;
        let answer = question(rescue);
        let is_over = rescue.is_over();
        answer.map_err(|error| {
            let kind = error.kind();
            if is_over && state.lost.is_none() {
                state.lost = Some(error);
            }
            kind
        })
    }
}

impl Source for Shared {
    fn each(
        &mut self,
        path: &GuestPath,
        take: &mut dyn FnMut(Entry),
    ) -> std::result::Result<(), ErrorKind> {
        self.ask(|rescue| {
            rescue.each(path, |listed| match listed {
                Listed::Entry(entry) => take(*entry),
                // Who looks the name up is told.
                Listed::Fault(_) => {}
            })
        })
    }

    fn describe(&mut self, path: &GuestPath) -> std::result::Result<Entry, ErrorKind> {
        self.ask(|rescue| rescue.describe(path, LastLink::Kept))
    }

    fn read(
        &mut self,
        path: &GuestPath,
        offset: u64,
        buffer: &mut [u8],
    ) -> std::result::Result<usize, ErrorKind> {
        self.ask(|rescue| rescue.read(path, offset, buffer))
    }
}
