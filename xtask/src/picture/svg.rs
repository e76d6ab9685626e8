//! A terminal window as SVG: dark, framed, with every letter in its column whatever the font.

use std::fmt::Write;

use super::base64;
use super::frame::{self, Cell};
use super::terminal::{Line, Run, Style};

const CELL_WIDTH: f64 = 8.4;
const LINE_HEIGHT: f64 = 20.0;

/// From the top of a line to where its letters stand.
const BASELINE: f64 = 14.5;
const BAR_HEIGHT: f64 = 38.0;
const PADDING: f64 = 24.0;
/// Room around the windows for their shadow.
const MARGIN: f64 = 28.0;
const COLUMNS_MIN: usize = 80;
/// The guest's text screen in pixels, as QEMU's VGA draws it: of its 25 lines the first ten.
const SCREEN_WIDTH: f64 = 720.0;
const SCREEN_HEIGHT: f64 = 160.0;

const TEXT: &str = "#d7dfea";
const BRIGHT: &str = "#ffffff";
const FAINT: &str = "#6f7f96";
/// SGR 30 to 37 on a dark ground.
const COLOURS: [&str; 8] = [
    "#6f7f96", "#ff7b86", "#63d8a0", "#f5c76b", "#6cb2ff", "#c99bff", "#5fd4f0", "#d7dfea",
];

/// How far the layers of a window's soft shadow reach.
const SHADOW: [f64; 5] = [2.0, 5.0, 9.0, 13.0, 17.0];
/// The three lights in a window's corner.
const LIGHTS: [&str; 3] = ["#ff6159", "#ffbd2e", "#29c941"];

const STYLE: &str = "text{font-family:ui-monospace,SFMono-Regular,'JetBrains Mono',Menlo,Consolas,\
    'DejaVu Sans Mono',monospace;font-size:14px;white-space:pre}\
    .b{font-weight:600}.t{font-size:13px;fill:#8595ab;text-anchor:middle}";

const DEFINITIONS: &str = r##"<defs>
<linearGradient id="ground" x1="0" y1="0" x2="0" y2="1">
<stop offset="0" stop-color="#131c2b"/><stop offset="1" stop-color="#0c121d"/>
</linearGradient>
</defs>
"##;

/// A window on the picture.
#[derive(Debug, Clone, Copy)]
struct Window {
    top: f64,
    width: f64,
    height: f64,
}

/// Draws the lines in a window and, if there is one, a machine's screen (PNG) in another below.
pub(crate) fn draw(lines: &[Line], screen: Option<&[u8]>) -> String {
    let columns = lines
        .iter()
        .map(columns_of)
        .max()
        .unwrap_or(0)
        .max(COLUMNS_MIN);
    let width = pixels(columns, CELL_WIDTH) + 2.0 * PADDING;
    let height = BAR_HEIGHT + pixels(lines.len(), LINE_HEIGHT) + 2.0 * PADDING;
    let text = Window {
        top: MARGIN,
        width,
        height,
    };
    let below = text.top + height + MARGIN;
    let screen_height = BAR_HEIGHT + width * SCREEN_HEIGHT / SCREEN_WIDTH;
    let bottom = below + screen.map_or(0.0, |_| screen_height + MARGIN);
    let mut svg = head(width + 2.0 * MARGIN, bottom);
    draw_window(&mut svg, text, "cargo xtask demo");
    for (index, line) in lines.iter().enumerate() {
        let top = text.top + BAR_HEIGHT + PADDING + pixels(index, LINE_HEIGHT);
        line.iter().for_each(|run| draw_run(&mut svg, run, top));
    }
    if let Some(screen) = screen {
        let window = Window {
            top: below,
            width,
            height: screen_height,
        };
        draw_window(&mut svg, window, "the restored machine's screen");
        draw_screen(&mut svg, window, screen);
    }
    svg + "</svg>\n"
}

fn head(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" \
         aria-label=\"Terminal output of the lifeboat demo\">\n\
         <style>{STYLE}</style>\n{DEFINITIONS}"
    )
}

fn draw_window(svg: &mut String, window: Window, title: &str) {
    let Window { top, width, height } = window;
    for spread in SHADOW {
        let place = rectangle(
            Window {
                top: top + spread / 2.0,
                width,
                height,
            },
            spread,
        );
        svg.push_str(&format!("<rect {place} fill=\"#000\" opacity=\".05\"/>\n"));
    }
    let place = rectangle(window, 0.0);
    svg.push_str(&format!(
        "<rect {place} fill=\"url(#ground)\" stroke=\"#2b3a52\"/>\n"
    ));
    let middle = top + BAR_HEIGHT / 2.0;
    for (index, colour) in LIGHTS.into_iter().enumerate() {
        let x = MARGIN + 22.0 + pixels(index, 20.0);
        let place = format!("cx=\"{x}\" cy=\"{middle}\" r=\"6\"");
        svg.push_str(&format!("<circle {place} fill=\"{colour}\"/>\n"));
    }
    let (x, y, title) = (MARGIN + width / 2.0, middle + 4.5, escaped(title));
    svg.push_str(&format!(
        "<text class=\"t\" x=\"{x:.1}\" y=\"{y:.1}\">{title}</text>\n"
    ));
}

/// Where a window's ground lies, or its shadow some pixels further out.
fn rectangle(window: Window, spread: f64) -> String {
    let (x, y) = (MARGIN - spread, window.top - spread);
    let (width, height) = (window.width + 2.0 * spread, window.height + 2.0 * spread);
    let radius = 12.0 + spread;
    format!("x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius}\"")
}

fn draw_screen(svg: &mut String, window: Window, screen: &[u8]) {
    let (x, y) = (MARGIN + 1.0, window.top + BAR_HEIGHT);
    let (width, height) = (window.width - 2.0, window.height - BAR_HEIGHT - 8.0);
    svg.push_str(&format!(
        "<image x=\"{x}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         preserveAspectRatio=\"xMidYMin slice\" href=\"data:image/png;base64,{}\"/>\n",
        base64::encode(screen)
    ));
}

/// Letters as text that is stretched to its columns, frame letters as lines.
fn draw_run(svg: &mut String, run: &Run, top: f64) {
    let letters: Vec<char> = run.text.chars().collect();
    let mut start = 0;
    for piece in letters.chunk_by(|one, next| kind(*one) == kind(*next)) {
        let column = run.column + start;
        match kind(piece[0]) {
            Kind::Frame => draw_frame(svg, piece, column, top, run.style),
            Kind::Space => {}
            Kind::Letter => draw_text(svg, piece, column, top, run.style),
        }
        start += piece.len();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Frame,
    Space,
    Letter,
}

fn kind(letter: char) -> Kind {
    match letter {
        ' ' => Kind::Space,
        _ if frame::is_frame(letter) => Kind::Frame,
        _ => Kind::Letter,
    }
}

fn draw_frame(svg: &mut String, letters: &[char], column: usize, top: f64, style: Style) {
    let cells = letters.iter().enumerate().map(|(index, letter)| {
        let left = left_of(column + index);
        frame::path(
            *letter,
            Cell {
                left,
                top,
                width: CELL_WIDTH,
                height: LINE_HEIGHT,
            },
        )
    });
    let path: String = cells.collect();
    let colour = if style.colour.is_some() {
        colour(style)
    } else {
        FAINT
    };
    svg.push_str(&format!(
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\"/>\n"
    ));
}

fn draw_text(svg: &mut String, letters: &[char], column: usize, top: f64, style: Style) {
    let text: String = letters.iter().collect();
    let bold = if style.bold { " class=\"b\"" } else { "" };
    let (x, y) = (left_of(column), top + BASELINE);
    let length = pixels(letters.len(), CELL_WIDTH);
    svg.push_str(&format!(
        "<text{bold} x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" \
         lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\">{}</text>\n",
        colour(style),
        escaped(&text)
    ));
}

fn colour(style: Style) -> &'static str {
    match style.colour {
        _ if style.dim => FAINT,
        Some(number) => COLOURS[usize::from(number) % COLOURS.len()],
        None if style.bold => BRIGHT,
        None => TEXT,
    }
}

fn left_of(column: usize) -> f64 {
    MARGIN + PADDING + pixels(column, CELL_WIDTH)
}

fn columns_of(line: &Line) -> usize {
    line.last()
        .map_or(0, |run| run.column + run.text.trim_end().chars().count())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a terminal has some hundred cells"
)]
fn pixels(cells: usize, size: f64) -> f64 {
    cells as f64 * size
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ if letter.is_control() => {
                let _ = write!(escaped, "&#xfffd;");
            }
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::terminal;
    use super::*;

    #[test]
    fn text_is_escaped_and_stands_in_its_column() {
        let svg = draw(&terminal::parse("  \x1b[1;36ma < b\x1b[0m"), None);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains(">&lt;</text>") && !svg.contains(" < "));
        assert!(svg.contains(&format!("x=\"{:.1}\"", left_of(2))));
        assert!(svg.contains("#5fd4f0"));
    }

    #[test]
    fn frames_are_lines_not_letters() {
        let svg = draw(&terminal::parse("╭─╮"), None);
        assert!(!svg.contains('╭') && svg.contains("<path d=\"M"));
    }

    #[test]
    fn a_screen_makes_a_second_window() {
        let svg = draw(&[], Some(b"foo"));
        assert!(svg.contains("data:image/png;base64,Zm9v"));
        assert_eq!(svg.matches("#ff6159").count(), 2);
    }
}
