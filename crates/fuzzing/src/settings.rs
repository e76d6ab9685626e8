//! The configuration, and the settings of other programs that become one.

use std::collections::BTreeSet;

use lifeboat_config::{ImportKind, Loaded, SourceFile, import, read};

/// The first byte says what the text is; what was made of other settings must be sound.
pub(crate) fn settings(input: &[u8]) {
    let Some((kind, text)) = input.split_first() else {
        return;
    };
    let source = SourceFile {
        name: "input".to_owned(),
        text: String::from_utf8_lossy(text).into_owned(),
    };
    let kind = match kind % 4 {
        0 => return told_inside(&source),
        1 => ImportKind::Variables,
        2 => ImportKind::ResticEnvironment,
        _ => ImportKind::OpenNebula,
    };
    if let Ok(imported) = import::<toml::Table>(&source, kind, "/secrets") {
        let mut files = BTreeSet::new();
        for it in &imported.secrets {
            let is_plain = !it.file.starts_with('.') && !it.file.contains(['/', '\0']);
            assert!(is_plain, "{:?} stays in its folder", it.file);
            assert!(files.insert(&it.file), "{:?} is of one secret", it.file);
        }
        let made = SourceFile {
            name: "made".to_owned(),
            text: imported.text.clone(),
        };
        let loaded: Loaded<toml::Table> = read(&[made]);
        assert!(loaded.is_sound(), "what was made is sound");
    }
}

/// Findings are about lines that are there.
fn told_inside(source: &SourceFile) {
    let loaded: Loaded<toml::Table> = read(std::slice::from_ref(source));
    let lines = source.text.split('\n').count();
    for finding in loaded.findings {
        assert!((1..=lines).contains(&finding.spot.line), "{finding}");
    }
}
