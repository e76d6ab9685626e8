//! What came from another program and has no meaning here yet.

use crate::section::Section;

/// Settings of another program, kept as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedEntry {
    /// Where they came from: a file and a path in it.
    pub from: String,
    /// Why they are not carried out.
    pub note: Option<String>,
    /// The settings, as TOML writes them.
    pub settings: Option<String>,
}

impl CarriedEntry {
    pub(crate) fn read(section: Section<'_>) -> Option<Self> {
        let from = section.needed("from", "from = \"variables.json\"");
        let note = section.text("note");
        let settings = section.anything("settings");
        if let Some(from) = &from {
            let note = note.as_deref().unwrap_or("nothing here does it");
            let why = format!("carried over from {from}, not carried out yet: {note}");
            let next = "remove the table when it is no longer needed";
            section.warn_of_table(why, next);
        }
        section.finish();
        let from = from?;
        Some(Self {
            from,
            note,
            settings,
        })
    }
}
