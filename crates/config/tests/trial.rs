//! What tests of imports share.

use lifeboat_config::{ImportKind, Imported, Loaded, SourceFile, import, kind_of, read};

pub(crate) fn imported(text: &str) -> Result<Imported, Vec<String>> {
    let kind = kind_of(text).unwrap();
    of_kind(kind, text)
}

pub(crate) fn of_kind(kind: ImportKind, text: &str) -> Result<Imported, Vec<String>> {
    let source = SourceFile {
        name: "from/old".to_owned(),
        text: text.to_owned(),
    };
    import::<toml::Table>(&source, kind, "/etc/lifeboat/secrets")
        .map_err(|findings| findings.iter().map(ToString::to_string).collect())
}

pub(crate) fn loaded(imported: &Imported) -> Loaded<toml::Table> {
    let loaded = read(&[SourceFile {
        name: "made".to_owned(),
        text: imported.text.clone(),
    }]);
    assert!(
        loaded.is_sound(),
        "{:?}\n{}",
        loaded.findings,
        imported.text
    );
    loaded
}

/// The notes of an import, each as people see it.
pub(crate) fn notes(imported: &Imported) -> String {
    let notes = imported.notes.iter().map(|it| format!("{it}\n"));
    notes.collect()
}

pub(crate) fn refused(kind: ImportKind, cases: &[(&str, &str)]) {
    for (text, told) in cases {
        let all = of_kind(kind, text).unwrap_err();
        let is_told = all.iter().any(|it| it.contains(told));
        assert!(is_told, "{told}\n{all:#?}");
    }
}
