//! `cargo xtask picture`: draws the demo's output as the picture of the README.
//!
//! The picture is made from the transcript of a real run, so it cannot show what was not.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::demo;
use crate::workspace::Workspace;

mod base64;
mod frame;
mod svg;
mod terminal;

/// Draws a transcript, or that of the last demo, as `docs/demo.svg`.
pub(crate) fn run(workspace: &Workspace, transcript: Option<&Path>) -> Result<()> {
    let last = demo::transcript(workspace);
    let transcript = transcript.unwrap_or(&last);
    let text = fs::read_to_string(transcript).with_context(|| {
        format!(
            "reading {}; `cargo xtask demo` writes it",
            transcript.display()
        )
    })?;
    let lines = terminal::parse(&text);
    // Without the guest's screen the picture is only smaller.
    let screen = fs::read(transcript.with_file_name("restored.png")).ok();
    let picture = svg::draw(&lines, screen.as_deref());
    let path = workspace.root.join("docs/demo.svg");
    fs::create_dir_all(workspace.root.join("docs")).context("creating docs")?;
    fs::write(&path, picture).with_context(|| format!("writing {}", path.display()))?;
    println!("{}: {} lines", path.display(), lines.len());
    Ok(())
}
