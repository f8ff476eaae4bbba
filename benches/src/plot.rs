//! The plot of the report: a bar for each system that answers the main job's query, on a logarithmic scale, one panel for each kind of topic.

use crate::book::{Book, Entry};
use crate::report::of;
use crate::systems::System;
use crate::topics::{Kind, Question};
use std::collections::BTreeSet;
use std::fmt::Write;

const LEFT: f64 = 290.0;
const WIDTH: f64 = 520.0;
const RIGHT: f64 = 190.0;
const ROW: f64 = 22.0;
const LEAST: f64 = 0.1;

/// The plot as SVG, or nothing while there is nothing to show.
pub(crate) fn svg(book: &Book) -> Option<String> {
    let shown = |entry: &&Entry| {
        let system = System::find(&entry.system);
        entry.parallelism == 1
            && system.is_some_and(|system| system == System::Raw || system.question() == Some(Question::Minutes))
    };
    let entries: Vec<(&Entry, f64)> = book
        .entries
        .iter()
        .filter(shown)
        .filter_map(|entry| Some((entry, of(entry, |f| Some(f.cpu_per_million))?)))
        .collect();
    let most = entries.iter().map(|(_, cpu)| *cpu).fold(1.0, f64::max);
    let newest = entries.iter().map(|(entry, _)| entry.origin.date.as_str()).max()?;
    let decades = (most / LEAST).log10().ceil();
    let place = |value: f64| LEFT + WIDTH * ((value / LEAST).log10() / decades).max(0.0);
    let kinds: BTreeSet<Kind> = entries.iter().map(|(entry, _)| entry.kind).collect();
    let (mut body, mut y) = (String::new(), 30.0);
    for kind in kinds {
        let mut rows: Vec<&(&Entry, f64)> = entries.iter().filter(|(entry, _)| entry.kind == kind).collect();
        rows.sort_by_key(|(entry, _)| System::find(&entry.system));
        let _ = write!(body, "<text x=\"8\" y=\"{y}\" font-weight=\"bold\">{}</text>", escaped(&kind.title()));
        for (entry, cpu) in rows {
            y += ROW;
            let date = if entry.origin.date == newest { String::new() } else { format!(" ({})", entry.origin.date) };
            let (width, title) = (place(*cpu) - LEFT, escaped(&entry.title.replace('*', "")));
            let _ = writeln!(
                body,
                "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{title}</text>\
                 <rect x=\"{LEFT}\" y=\"{}\" width=\"{width:.1}\" height=\"14\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{y}\">{cpu:.2}{date}</text>",
                LEFT - 8.0,
                y - 11.0,
                color(&entry.system),
                LEFT + width + 6.0,
            );
        }
        y += ROW * 1.8;
    }
    Some(frame(&body, y, decades, place, newest))
}

fn frame(body: &str, height: f64, decades: f64, place: impl Fn(f64) -> f64, newest: &str) -> String {
    let (width, bottom) = (LEFT + WIDTH + RIGHT, height - ROW);
    let mut lines = String::new();
    for decade in 0..=decades as i32 {
        let value = LEAST * 10_f64.powi(decade);
        let x = place(value);
        let _ = writeln!(
            lines,
            "<line x1=\"{x:.1}\" y1=\"12\" x2=\"{x:.1}\" y2=\"{bottom:.0}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#666\">{value}</text>",
            bottom + 14.0
        );
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {total:.0}\" width=\"{width}\" height=\"{total:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{lines}{body}\
         <text x=\"{LEFT}\" y=\"{:.0}\" fill=\"#666\">CPU-seconds per million records, logarithmic; {newest} where no date stands</text>\n</svg>\n",
        bottom + 34.0,
        total = bottom + 44.0
    )
}

fn color(system: &str) -> &'static str {
    match System::find(system) {
        Some(System::Aqueduct(_)) => "#1f77b4",
        Some(System::Peer(_)) => "#d68a2e",
        _ => "#999999",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
#[path = "plot_tests.rs"]
mod tests;
