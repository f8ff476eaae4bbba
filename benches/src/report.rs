//! `RESULTS.md` from the book: medians and spreads, system by system. It judges nothing.

use crate::book::{Book, Entry, Figures, median};
use crate::machine::Origin;
use crate::systems::System;
use crate::topics::{Kind, Question, grouped};
use std::collections::BTreeSet;

/// The whole file.
pub(crate) fn text(book: &Book) -> String {
    let mut out = HEAD.to_owned();
    let groups: BTreeSet<(Kind, u32)> = book.entries.iter().map(|entry| (entry.kind, entry.parallelism)).collect();
    for (kind, parallelism) in groups {
        out.push_str(&section(book, kind, parallelism));
    }
    out.push_str(&least_heaps(book));
    out.push_str(&states(book));
    out.push_str(&larges(book));
    out.push_str(&sinks(book));
    out.push_str(&latencies(book));
    out.push_str(&origin(book));
    out
}

const HEAD: &str = "# Results

Written by `./dev bench` from [results.json](results.json); how it is measured and what the systems are: [NOTES.md](NOTES.md).

- *CPU*: seconds of user and system time of the whole process tree per million records, as the slope between a short and a long run, so that
  start-up is out and a JVM is warm. The broker's is not in it. Medians over the rounds, least and greatest in parentheses.
- *to raw*, *to C*: that, as a multiple of the bare client's and of the hand-written program's in the same round: for a projection (W2) the
  hand-written projection, for everything else the hand-written query.
- *of aqueduct*: the multiple of the bare client's as a multiple of Aqueduct's on the same query; it holds across days, too.
- *peak*: the most memory that all processes of a run held at one time, MiB. *rate*: million records per second of the long run, start and end
  within. *first record*: seconds from the process' start to the first record at its door. *start*: CPU-seconds that do not depend on the number
  of records.
- Every system's rows are compared with a plain fold over the same records, and a run with other rows is void.

![CPU per million records](results.svg)
";

fn section(book: &Book, kind: Kind, parallelism: u32) -> String {
    let mut entries: Vec<&Entry> =
        book.entries.iter().filter(|entry| (entry.kind, entry.parallelism) == (kind, parallelism)).collect();
    entries.sort_by_key(|entry| System::find(&entry.system));
    let threads = if parallelism == 1 { "1 thread".to_owned() } else { format!("{parallelism} threads") };
    let mut out = format!("\n## {}, {threads}\n\n", kind.title());
    out.push_str("| system | CPU | to raw | to C | of aqueduct | peak | rate | first record | start | measured |\n");
    out.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
    let ours = |entry: &Entry| {
        let name = match System::find(&entry.system).and_then(System::question)? {
            Question::Minutes => "w3",
            Question::Projection => "w2",
        };
        entries.iter().find(|entry| entry.system == name).and_then(|entry| of(entry, |f| f.to_raw))
    };
    for entry in &entries {
        out.push_str(&line(entry, ours(entry)));
    }
    out
}

fn line(entry: &Entry, ours: Option<f64>) -> String {
    let measured = format!("{}, {} rounds of {} M", entry.origin.date, entry.rounds.len(), entry.millions);
    if let Some(why) = &entry.void {
        let why = why.lines().next().unwrap_or_default().replace('|', "/");
        return format!("| {} | void: {why} | | | | | | | | {measured} |\n", entry.title);
    }
    let ratio = of(entry, |f| f.to_raw).zip(ours).map(|(theirs, ours)| theirs / ours);
    let or_none = |value: Option<f64>, digits: usize| value.map_or("-".into(), |value| format!("{value:.digits$}"));
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {measured} |\n",
        entry.title,
        spread(entry, |f| Some(f.cpu_per_million)),
        spread(entry, |f| f.to_raw),
        spread(entry, |f| f.to_query),
        or_none(ratio, 2),
        or_none(of(entry, |f| Some(f.peak_mib)), 0),
        or_none(of(entry, |f| Some(f.records_per_second / 1e6)), 2),
        or_none(of(entry, |f| f.first_record), 2),
        or_none(of(entry, |f| Some(f.start_cpu)), 2),
    )
}

/// The median of one figure.
pub(crate) fn of(entry: &Entry, figure: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
    median(entry.rounds.iter().filter_map(figure))
}

/// The median with the least and the greatest.
fn spread(entry: &Entry, figure: impl Fn(&Figures) -> Option<f64>) -> String {
    let values: Vec<f64> = entry.rounds.iter().filter_map(figure).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    median(values).map_or("-".to_owned(), |middle| format!("{middle:.2} ({least:.2} to {most:.2})"))
}

fn least_heaps(book: &Book) -> String {
    if book.least_heaps.is_empty() {
        return String::new();
    }
    let mut out = "\n## The smallest heap that finishes\n\n| system | labels | heap, MiB | peak, MiB | measured |\n|---|---|---|---|---|\n".to_owned();
    for heap in &book.least_heaps {
        out.push_str(&format!(
            "| {} | {} | {} | {:.0} | {}, {} M |\n",
            heap.title,
            heap.kind.title(),
            heap.heap_mib,
            heap.peak_mib,
            heap.date,
            heap.millions
        ));
    }
    out
}

/// The median of some rounds; not a number where there are none.
fn middle(values: &[f64]) -> f64 {
    median(values.iter().copied()).unwrap_or(f64::NAN)
}

fn states(book: &Book) -> String {
    if book.states.is_empty() {
        return String::new();
    }
    let mut out = "\n## State, without a broker\n\n\
        One integer key, five aggregates, one thread; see [NOTES.md](NOTES.md).\n\n\
        | keys | pause, p99, at most | checkpoints each 10 s add | bytes uploaded per byte changed | peak, MiB | memory of a key | \
        held | restore | then all in memory | from S3 here | of a checkpoint of | second core | measured |\n\
        |---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for state in &book.states {
        out.push_str(&format!(
            "| {} | {} ms, {} cuts | {:.1} % | {:.2} | {:.0}; with ten keys {:.0} | {:.0} B | {:.0} MiB | {:.0} ms | \
             {:.0} ms | {:.0} ms | {:.0} MiB | {:.2} x | {}, {} rounds of {} M |\n",
            grouped(state.keys),
            state.pause_ms,
            state.cuts,
            middle(&state.checkpoint_percent),
            state.uploaded_to_changed,
            state.peak_mib,
            state.base_mib,
            state.bytes_per_key,
            state.held_mib,
            middle(&state.restore_ms),
            middle(&state.load_ms),
            middle(&state.restore_from_s3_ms),
            state.state_mib,
            middle(&state.second_core),
            state.origin.date,
            state.checkpoint_percent.len(),
            state.millions
        ));
    }
    out
}

fn larges(book: &Book) -> String {
    if book.larges.is_empty() {
        return String::new();
    }
    let mut out = "\n## More keys than memory holds\n\n\
        One window, one integer key, five aggregates; files of rows, every one of which is looked at.\n\n\
        | keys | records | limit of memory | peak, MiB | seconds | CPU-seconds | measured |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for large in &book.larges {
        let limit = large.limit_mib.map_or_else(|| "none".to_owned(), |limit| format!("{limit} MiB"));
        out.push_str(&format!(
            "| {} | {} | {limit} | {} | {:.0} | {:.0} | {} |\n",
            grouped(large.keys),
            grouped(large.records),
            large.peak_mib,
            large.seconds,
            large.cpu_seconds,
            large.origin.date
        ));
    }
    out
}

fn sinks(book: &Book) -> String {
    if book.sinks.is_empty() {
        return String::new();
    }
    let mut out = "\n## W6, single sinks\n\n\
        CPU-seconds per million rows; *of the sink* is what the rows cost beyond the same job with nowhere to write to.\n\n\
        | sink | engine | to nowhere | of the sink | by hand | of the sink, to by hand | measured |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for entry in &book.sinks {
        let own: Vec<f64> = entry.engine.iter().zip(&entry.nowhere).map(|(with, without)| with - without).collect();
        let ratios: Vec<f64> = own.iter().zip(&entry.floor).map(|(own, floor)| own / floor).collect();
        out.push_str(&format!(
            "| {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {}, {} rounds of {} M |\n",
            entry.sink,
            middle(&entry.engine),
            middle(&entry.nowhere),
            middle(&own),
            middle(&entry.floor),
            middle(&ratios),
            entry.origin.date,
            ratios.len(),
            entry.millions
        ));
    }
    out
}

fn latencies(book: &Book) -> String {
    if book.latencies.is_empty() {
        return String::new();
    }
    let mut out = "\n## How soon a window is seen\n\n\
        The main job with all its sinks; from the moment at which the watermark passes a window's end, by the sender's timetable, to the \
        moment at which its rows are seen.\n\n\
        | load | records/s | sink | windows | p50 | p99 | longest | measured |\n|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for entry in &book.latencies {
        let missing = if entry.missing == 0 { String::new() } else { format!(", {} not seen", entry.missing) };
        out.push_str(&format!(
            "| {} % | {} | {} | {}{missing} | {:.0} ms | {:.0} ms | {:.0} ms | {} |\n",
            entry.load,
            grouped(entry.rate.unsigned_abs()),
            entry.sink,
            entry.windows,
            entry.p50_ms,
            entry.p99_ms,
            entry.most_ms,
            entry.origin.date
        ));
    }
    out
}

/// By which command, of which state, on which machine.
fn origin(book: &Book) -> String {
    let row = |origin: &Origin| {
        format!("| {} | `{}` | {} | {} |\n", origin.date, origin.command, origin.commit, origin.machine)
    };
    let entries = book.entries.iter().map(|entry| &entry.origin);
    let alone = book.states.iter().map(|state| &state.origin).chain(book.latencies.iter().map(|entry| &entry.origin));
    let alone =
        alone.chain(book.larges.iter().map(|entry| &entry.origin)).chain(book.sinks.iter().map(|entry| &entry.origin));
    let rows: BTreeSet<String> = entries.chain(alone).map(row).collect();
    let steal = book.entries.iter().flat_map(|entry| &entry.rounds).map(|figures| figures.steal).fold(0.0, f64::max);
    let rows: String = rows.into_iter().collect();
    format!(
        "\n## Where the figures come from\n\n| date | command | commit | machine |\n|---|---|---|---|\n{rows}\n\
         At most {:.1} % of the machine's time went to other guests during a run.\n",
        steal * 100.0
    )
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
