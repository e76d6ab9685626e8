//! The files that pages need besides themselves: one style sheet, one script, one icon.
//!
//! Each is served under a name with a digest of its content, and so may be kept for ever.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A file and its name.
#[derive(Debug)]
pub struct Asset {
    /// Its path, with a digest: `/assets/lifeboat.0123456789ab.css`.
    pub path: String,
    /// Its content.
    pub text: &'static str,
    /// The type of its content.
    pub media_type: &'static str,
}

/// How answers with such a file may be kept.
pub const CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("../assets/lifeboat.css");
    asset("css", text, "text/css; charset=utf-8")
});
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("../assets/lifeboat.js");
    asset("js", text, "text/javascript; charset=utf-8")
});
static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("../assets/favicon.svg");
    asset("svg", text, "image/svg+xml")
});

fn asset(ending: &str, text: &'static str, media_type: &'static str) -> Asset {
    let digest = Sha256::digest(text.as_bytes());
    let digits: String = digest
        .iter()
        .take(6)
        .map(|it| format!("{it:02x}"))
        .collect();
    Asset {
        path: format!("/assets/lifeboat.{digits}.{ending}"),
        text,
        media_type,
    }
}

/// The style sheet.
pub fn style() -> &'static Asset {
    &STYLE
}

/// The script.
pub fn script() -> &'static Asset {
    &SCRIPT
}

/// The icon.
pub fn icon() -> &'static Asset {
    &ICON
}

/// The file of a path, if there is one.
pub fn find(path: &str) -> Option<&'static Asset> {
    [style(), script(), icon()]
        .into_iter()
        .find(|it| it.path == path)
}
