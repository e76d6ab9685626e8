//! Frame-drawing letters as lines: fonts leave gaps between them, lines do not.

/// The arms of a frame letter from the middle of its cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arms {
    up: bool,
    down: bool,
    left: bool,
    right: bool,
}

/// A cell of the terminal's grid, in pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// Whether a letter is drawn as lines.
pub(crate) fn is_frame(letter: char) -> bool {
    arms(letter).is_some()
}

/// SVG path commands for a frame letter in a cell; empty for any other letter.
pub(crate) fn path(letter: char, cell: Cell) -> String {
    let Some(arms) = arms(letter) else {
        return String::new();
    };
    let (x, y) = (cell.left + cell.width / 2.0, cell.top + cell.height / 2.0);
    let (right, bottom) = (cell.left + cell.width, cell.top + cell.height);
    if "╭╮╰╯".contains(letter) {
        let from = if arms.down { bottom } else { cell.top };
        let to = if arms.right { right } else { cell.left };
        return format!("M{x:.1} {from:.1}Q{x:.1} {y:.1} {to:.1} {y:.1}");
    }
    let ends = [
        (arms.up, x, cell.top),
        (arms.down, x, bottom),
        (arms.left, cell.left, y),
        (arms.right, right, y),
    ];
    let lines = ends.iter().filter(|(is_drawn, ..)| *is_drawn);
    lines
        .map(|(_, to_x, to_y)| format!("M{x:.1} {y:.1}L{to_x:.1} {to_y:.1}"))
        .collect()
}

fn arms(letter: char) -> Option<Arms> {
    let (up, down, left, right) = match letter {
        '│' => (true, true, false, false),
        '─' => (false, false, true, true),
        '╭' | '┌' => (false, true, false, true),
        '╮' | '┐' => (false, true, true, false),
        '╰' | '└' => (true, false, false, true),
        '╯' | '┘' => (true, false, true, false),
        '├' => (true, true, false, true),
        '┤' => (true, true, true, false),
        '┬' => (false, true, true, true),
        '┴' => (true, false, true, true),
        '┼' => (true, true, true, true),
        _ => return None,
    };
    Some(Arms {
        up,
        down,
        left,
        right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL: Cell = Cell {
        left: 10.0,
        top: 20.0,
        width: 8.0,
        height: 20.0,
    };

    #[test]
    fn arms_reach_the_edges_of_the_cell() {
        assert_eq!(path('│', CELL), "M14.0 30.0L14.0 20.0M14.0 30.0L14.0 40.0");
        assert_eq!(path('╭', CELL), "M14.0 40.0Q14.0 30.0 18.0 30.0");
        assert_eq!(path('x', CELL), "");
    }
}
