//! Which machines a report is about.

use lifeboat_model::ErrorKind;
use lifeboat_scheduler::{MachineStatus, Overview};

use crate::error::{Error, Result};
use crate::tables::shown;

/// Machines that were asked for.
pub(super) struct Wanted<'o> {
    pub(super) machines: Vec<&'o MachineStatus>,
    /// Whether none was named: then what is about no machine counts, too.
    pub(super) is_all: bool,
}

impl<'o> Wanted<'o> {
    /// Those that are named as `web01`, or as `far/web01` where several platforms have one; all if
    /// none is named.
    ///
    /// Errors: `NotFound`; `Invalid` for a name that means several.
    pub(super) fn of(overview: &'o Overview, named: &[String]) -> Result<Self> {
        let is_all = named.is_empty();
        let machines = match is_all {
            true => overview.machines.iter().collect(),
            false => named
                .iter()
                .map(|text| one(overview, text))
                .collect::<Result<_>>()?,
        };
        Ok(Self { machines, is_all })
    }

    /// Whether something about a machine of that name, of that platform if it is known, is about
    /// one of these.
    pub(super) fn holds(&self, name: &str, platform: Option<&str>) -> bool {
        let is_it = |it: &&MachineStatus| {
            it.name == name && (!it.has_namesake || platform == Some(it.platform.as_str()))
        };
        self.machines.iter().any(is_it)
    }
}

fn one<'o>(overview: &'o Overview, text: &str) -> Result<&'o MachineStatus> {
    let (platform, name) = match text.split_once('/') {
        Some((platform, name)) => (Some(platform), name),
        None => (None, text),
    };
    match overview.named(name, platform).as_slice() {
        [one] => Ok(one),
        [] => {
            let text = shown(text);
            let message = format!(
                "the catalog knows no machine \"{text}\": 'lifeboat --json status' lists all"
            );
            Err(Error::new(ErrorKind::NotFound, message))
        }
        several => {
            let names = several
                .iter()
                .map(|it| format!("-m {}", shown(&it.distinct_name())));
            let message = format!(
                "{} platforms have a machine \"{}\": say which one, {}",
                several.len(),
                shown(name),
                names.collect::<Vec<_>>().join(" or ")
            );
            Err(Error::new(ErrorKind::Invalid, message))
        }
    }
}
