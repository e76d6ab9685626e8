//! Pictures of numbers, drawn as SVG: positions in percent, so that they fit every width without
//! a script, and titles that say each value.

use maud::{Markup, html};

/// A ring of parts; the first begins at the top. What it says stands in words beside it.
pub(crate) fn ring(parts: &[(&str, u64)]) -> Markup {
    let total: u64 = parts.iter().map(|(_, value)| value).sum();
    let mut before = 0.0;
    let mut arcs = Vec::new();
    for (class, value) in parts.iter().filter(|(_, value)| *value > 0) {
        let share = 100.0 * *value as f64 / total.max(1) as f64;
        // A gap between the parts; none around a single one.
        let gap = if share > 99.9 { 0.0 } else { 0.8 };
        arcs.push((*class, (share - gap).max(0.4), before));
        before += share;
    }
    html! {
        svg.ring viewBox="0 0 120 120" aria-hidden="true" {
            circle.ring-ground cx="60" cy="60" r="52" {}
            @for (class, share, before) in arcs {
                circle class={ "ring-part " (class) } cx="60" cy="60" r="52" pathLength="100"
                    stroke-dasharray={ (round(share)) " 100" }
                    stroke-dashoffset=(round(-before)) transform="rotate(-90 60 60)" {}
            }
        }
    }
}

/// One cell of a strip.
pub(crate) struct Cell {
    pub(crate) class: &'static str,
    pub(crate) title: String,
}

/// Cells side by side, the newest last.
pub(crate) fn strip(cells: &[Cell], label: &str) -> Markup {
    let width = 100.0 / cells.len().max(1) as f64;
    html! {
        svg.strip role="img" aria-label=(label) width="100%" height="22" {
            @for (at, cell) in cells.iter().enumerate() {
                rect class=(cell.class) x={ (round(at as f64 * width)) "%" }
                    width={ (round(width * 0.8)) "%" } height="22" rx="3" {
                    title { (cell.title) }
                }
            }
        }
    }
}

/// A bar of a chart.
pub(crate) struct Bar {
    pub(crate) value: f64,
    pub(crate) class: &'static str,
    pub(crate) title: String,
}

/// Bars from left to right; `top` is the word at the scale's top.
pub(crate) fn bars(bars: &[Bar], (first, last): (&str, &str), top: &str, label: &str) -> Markup {
    let max = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let width = 100.0 / bars.len().max(1) as f64;
    let height = |value: f64| match max > 0.0 {
        true => (96.0 * value / max).max(2.0),
        false => 0.0,
    };
    html! {
        figure.chart {
            div.chart-top { span { (top) } }
            svg role="img" aria-label=(label) width="100%" height="110" {
                line.grid x1="0" x2="100%" y1="0.5" y2="0.5" {}
                line.grid x1="0" x2="100%" y1="50%" y2="50%" {}
                @for (at, bar) in bars.iter().enumerate() {
                    rect class={ "bar " (bar.class) } x={ (round((at as f64 + 0.12) * width)) "%" }
                        width={ (round(width * 0.76)) "%" }
                        y={ (round(100.0 - height(bar.value))) "%" }
                        height={ (round(height(bar.value))) "%" } rx="1.5" {
                        title { (bar.title) }
                    }
                }
                line.axis x1="0" x2="100%" y1="109.5" y2="109.5" {}
            }
            figcaption { span { (first) } span { (last) } }
        }
    }
}

/// A filled curve through `(x, y)`, both from 0 to 1, x rising; further curves above it.
pub(crate) fn area(
    lines: &[(&str, Vec<(f64, f64)>)],
    (first, last): (&str, &str),
    top: &str,
    label: &str,
) -> Markup {
    let text = |points: &[(f64, f64)]| {
        let points = points.iter().map(|(x, y)| {
            let (x, y) = (round(x * 100.0), round(96.0 - y * 92.0));
            format!("{x},{y}")
        });
        points.collect::<Vec<_>>().join(" ")
    };
    let ends = |points: &[(f64, f64)]| {
        let x = |point: Option<&(f64, f64)>| round(point.map_or(0.0, |point| point.0 * 100.0));
        (x(points.first()), x(points.last()))
    };
    html! {
        figure.chart {
            div.chart-top { span { (top) } }
            svg role="img" aria-label=(label) width="100%" height="170" viewBox="0 0 100 100"
                preserveAspectRatio="none" {
                line.grid x1="0" x2="100" y1="4" y2="4" {}
                line.grid x1="0" x2="100" y1="50" y2="50" {}
                @for (class, points) in lines {
                    @let (from, to) = ends(points);
                    polygon class={ "area " (class) }
                        points={ (from) ",96 " (text(points)) " " (to) ",96" } {}
                    polyline class={ "curve " (class) } points=(text(points)) {}
                }
                line.axis x1="0" x2="100" y1="96" y2="96" {}
            }
            figcaption { span { (first) } span { (last) } }
        }
    }
}

/// Two decimals at most, so that pages stay small.
pub(crate) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
