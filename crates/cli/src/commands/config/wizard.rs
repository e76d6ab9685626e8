//! Short questions: what is here, what is protected, where to, when.

use std::io::{BufRead, IsTerminal, Write};

use lifeboat_model::ErrorKind;
use lifeboat_policy::Schedule;

use super::generate::{Found, Wish, are_there};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::tables::{count, shown};

/// How often a question is repeated.
const TRIES: u32 = 5;

/// Whether there is somebody to ask.
pub(super) fn is_somebody_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks what is not known yet.
pub(super) fn ask(context: &Context, found: Vec<Found>, wish: &mut Wish) -> Result<Vec<Found>> {
    for (number, found) in found.iter().enumerate() {
        show(context, number + 1, found)?;
    }
    let chosen = if found.len() < 2 {
        found
    } else {
        let chosen = question("which of them, as in 1 or 1,2", "1", |answer| {
            numbers(answer, found.len())
        })?;
        let each = found.into_iter().enumerate();
        each.filter(|(number, _)| chosen.contains(&(number + 1)))
            .map(|(_, found)| found)
            .collect()
    };
    if wish.machines.is_empty() {
        wish.machines = question("which machines, as in web*, db01", "all", |answer| {
            let words = answer.split(',').map(str::trim);
            let words = words.filter(|it| !it.is_empty() && *it != "all");
            let words: Vec<String> = words.map(str::to_owned).collect();
            let named = are_there(&words, &chosen);
            named.map(|()| words).map_err(|error| error.to_string())
        })?;
    }
    if wish.place.is_none() {
        let place = question("where do backups go, a folder", "/srv/backup", |answer| {
            let is_path = answer.starts_with('/');
            let place = is_path.then(|| answer.to_owned());
            place.ok_or_else(|| "write a path from the root".to_owned())
        })?;
        wish.place = Some(place);
    }
    if wish.schedule.is_none() {
        let schedule = question("when", "daily 02:00", |answer| {
            let parsed = answer.parse::<Schedule>();
            parsed.map_err(|error| error.to_string())?;
            Ok(answer.to_owned())
        })?;
        wish.schedule = Some(schedule);
    }
    Ok(chosen)
}

/// Asks whether it shall be done.
pub(super) fn agree(what: &str) -> Result<bool> {
    question(what, "yes", |answer| match answer {
        "yes" | "y" => Ok(true),
        "no" | "n" => Ok(false),
        _ => Err("write yes or no".to_owned()),
    })
}

fn show(context: &Context, number: usize, found: &Found) -> Result<()> {
    let machines = count(found.machines.len(), "machine");
    let head = format!("{number}. {} ({}): {machines}", found.about, found.uri);
    context.output.tell(head)?;
    for machine in &found.machines {
        let disks: Vec<_> = machine.disks.iter().map(|it| shown(&it.place)).collect();
        let (name, state) = (machine.name.as_str(), machine.state);
        let line = format!("   {} ({state}): {}", shown(name), disks.join(", "));
        context.output.tell(line)?;
    }
    Ok(())
}

fn numbers(answer: &str, most: usize) -> std::result::Result<Vec<usize>, String> {
    let parts = answer.split(',').map(|part| part.trim().parse::<usize>());
    let numbers: Vec<_> = parts
        .flatten()
        .filter(|it| (1..=most).contains(it))
        .collect();
    match numbers.len() == answer.split(',').count() {
        true => Ok(numbers),
        false => Err(format!("write numbers from 1 to {most}")),
    }
}

/// Asks until the answer will do; an empty one stands for what is usual.
fn question<T>(
    text: &str,
    usual: &str,
    read: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<T> {
    for _ in 0..TRIES {
        let mut terminal = std::io::stderr();
        let _ = write!(terminal, "{text} [{usual}]: ").and_then(|()| terminal.flush());
        let mut answer = String::new();
        let bytes = std::io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|e| {
                let message = format!("cannot read the answer: {e}");
                Error::new(ErrorKind::of_io(&e), message)
            })?;
        if bytes == 0 {
            break;
        }
        let answer = match answer.trim() {
            "" => usual,
            answer => answer,
        };
        match read(answer) {
            Ok(value) => return Ok(value),
            Err(why) => crate::output::to_stderr(&format!("  {why}")),
        }
    }
    let message = format!("\"{text}\" was not answered; nothing was written");
    Err(Error::new(ErrorKind::Invalid, message))
}
