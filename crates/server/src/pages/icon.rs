//! Icons: one sprite at the head of a page, and uses of it.
//!
//! They never stand alone for a state: a word is always beside them.

use maud::{Markup, PreEscaped, html};

/// All symbols, for the head of a page's body.
pub(crate) fn sprite() -> Markup {
    PreEscaped(include_str!("../../assets/icons.svg").to_owned())
}

/// One icon of the sprite.
pub(crate) fn icon(name: &str) -> Markup {
    html! { svg.icon aria-hidden="true" { use href={ "#i-" (name) } {} } }
}
