//! A plan as a tree that a person can read. Options are not shown: they may hold secrets.

use crate::ddl::sql_name;
use crate::print::length;
use aqueduct_core::ColumnKind;
use aqueduct_plan::{JobPlan, Query, QueryInput, SinkTable, SourceTable, WindowAggregate, WindowKind};
use std::fmt::Write as _;

/// Shows what a job computes: sources, queries with their inserts.
pub fn explain(plan: &JobPlan) -> String {
    let mut out = String::new();
    for source in &plan.sources {
        show_source(source, &mut out);
    }
    for (index, query) in plan.queries.iter().enumerate() {
        if !out.is_empty() {
            out.push('\n');
        }
        show_query(plan, index, query, &mut out);
    }
    out
}

// Writing to a String cannot fail: the results of `write!` are passed over.

fn show_source(source: &SourceTable, out: &mut String) {
    let _ = writeln!(out, "source {} ({})", source.spec.table, source.connector);
    let columns: Vec<String> = source
        .spec
        .columns
        .iter()
        .map(|column| match &column.kind {
            ColumnKind::Physical => format!("{} {}", crate::names::quoted(&column.name), column.sql_type),
            ColumnKind::Metadata(key) => {
                format!("{} {} from metadata '{key}'", crate::names::quoted(&column.name), sql_name(&column.data_type))
            }
        })
        .collect();
    let total = source.spec.declared.len();
    let _ = writeln!(
        out,
        "│ reads     {} ({} of {total} columns)",
        columns.join(", "),
        source.spec.columns.iter().filter(|column| column.kind == ColumnKind::Physical).count()
    );
    for line in &source.computed.text {
        let _ = writeln!(out, "│ computes  {line}");
    }
    if let Some(event_time) = &source.event_time {
        let column = source.computed.schema.field(event_time.column).name();
        let idle = match event_time.idle_timeout {
            Some(timeout) => {
                format!("a split is idle after {}", length(i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)))
            }
            None => "a split is never idle".into(),
        };
        let late = if event_time.late_by_operator {
            "late by the shard's watermark"
        } else {
            "late by the split's own watermark"
        };
        let _ =
            writeln!(out, "│ time      {} with watermark {}", crate::names::quoted(column), event_time.watermark_text);
        let _ = writeln!(out, "│           {idle}; rows are {late}");
    }
}

fn show_query(plan: &JobPlan, index: usize, query: &Query, out: &mut String) {
    let _ = writeln!(out, "query {} [{}]", query.name, query.id);
    let from = match query.input {
        QueryInput::Source(source) => plan.sources.get(source).map_or("?", |source| source.spec.table.as_str()),
        QueryInput::System(table) => table.name(),
    };
    let _ = writeln!(out, "│ from      {from}");
    for stage in &query.stages {
        for line in &stage.text {
            match line.strip_prefix("filter ") {
                Some(condition) => writeln!(out, "│ filter    {condition}"),
                None => writeln!(out, "│ stage     {line}"),
            }
            .unwrap_or_default();
        }
    }
    if let Some(window) = &query.window {
        show_window(window, query, out);
    }
    let inserts: Vec<_> = plan.inserts.iter().filter(|insert| insert.query == index).collect();
    for (position, insert) in inserts.iter().enumerate() {
        let last = position + 1 == inserts.len();
        let sink = plan.sinks.get(insert.sink);
        let _ = writeln!(out, "{}─▶ {}", if last { "└" } else { "├" }, sink.map_or_else(|| "?".into(), show_sink));
        for line in &insert.stage.text {
            let _ = writeln!(out, "{}     {line}", if last { " " } else { "│" });
        }
    }
}

fn show_window(window: &WindowAggregate, query: &Query, out: &mut String) {
    let offset = match window.kind.offset() {
        0 => String::new(),
        offset => format!(", shifted by {}", length(offset)),
    };
    let shape = match window.kind {
        WindowKind::Tumble { size, .. } => format!("TUMBLE of {}", length(size)),
        WindowKind::Hop { slide, size, .. } => format!("HOP of {} every {}", length(size), length(slide)),
        WindowKind::Cumulate { step, size, .. } => format!("CUMULATE of {} in steps of {}", length(size), length(step)),
    };
    let _ = writeln!(out, "│ window    {shape}{offset}");
    for (index, key) in window.key_text.iter().enumerate() {
        let field = window.schema.field(3 + index);
        let _ = writeln!(
            out,
            "│ key       {} = {key} ({})",
            crate::names::quoted(field.name()),
            sql_name(field.data_type())
        );
    }
    for (index, aggregate) in window.aggregates.iter().enumerate() {
        let field = query.schema.field(3 + window.keys.len() + index);
        let _ = writeln!(
            out,
            "│ aggregate {} = {} ({})",
            crate::names::quoted(field.name()),
            aggregate.text,
            sql_name(field.data_type())
        );
    }
}

fn show_sink(sink: &SinkTable) -> String {
    let name = |indexes: &[usize]| {
        let names: Vec<&str> = indexes
            .iter()
            .filter_map(|index| sink.spec.columns.get(*index))
            .map(|column| column.name.as_str())
            .collect();
        names.join(", ")
    };
    let mut text = format!("{} ({})", sink.spec.table, sink.connector);
    if !sink.spec.primary_key.is_empty() {
        let _ = write!(text, ", key ({})", name(&sink.spec.primary_key));
    }
    if !sink.spec.partitioned_by.is_empty() {
        let _ = write!(text, ", partitioned by ({})", name(&sink.spec.partitioned_by));
    }
    text
}
