//! The scalar and aggregate functions of the dialect: which names exist, and who computes them.
//!
//! Flink's names are an allow-list: a DataFusion function that is not in it cannot be called, because its meaning may
//! differ. Spellings that are only sugar are turned into others in `rewrite`.

pub(crate) mod aggregate;
mod element;
pub(crate) mod json;
mod pattern;
mod sealed;
mod text;
mod time;

pub(crate) use element::element;
pub(crate) use sealed::{is_sealed_at, sealed_at};

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Functions of DataFusion with the same meaning under the same name.
const SAME: &[&str] = &[
    "abs",
    "acos",
    "ascii",
    "asin",
    "atan",
    "atan2",
    "ceil",
    "character_length",
    "char_length",
    "chr",
    "coalesce",
    "concat_ws",
    "cos",
    "cosh",
    "cot",
    "degrees",
    "exp",
    "floor",
    "initcap",
    "left",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "lpad",
    "ltrim",
    "nullif",
    "overlay",
    "pi",
    "position",
    "power",
    "radians",
    "repeat",
    "replace",
    "reverse",
    "right",
    "round",
    "rpad",
    "rtrim",
    "sin",
    "sinh",
    "sqrt",
    "starts_with",
    "substr",
    "substring",
    "tan",
    "tanh",
    "translate",
    "trim",
    "upper",
];

/// Spellings that `rewrite` turns into others.
const SUGAR: &[&str] = &[
    "btrim",
    "ceiling",
    "dayofmonth",
    "dayofweek",
    "dayofyear",
    "extract",
    "from_unixtime",
    "hour",
    "if",
    "ifnull",
    "instr",
    "json_object",
    "locate",
    "minute",
    "mod",
    "month",
    "quarter",
    "regexp",
    "regexp_replace",
    "second",
    "sign",
    "to_date",
    "truncate",
    "week",
    "year",
];

/// Wall time: fixed when results are sealed.
pub(crate) const WALL_TIME: &[&str] = &["current_timestamp", "now", "proctime", "current_row_timestamp"];

/// All functions.
#[derive(Debug)]
pub(crate) struct Functions {
    scalar: HashMap<String, Arc<ScalarUDF>>,
    aggregate: HashMap<String, Arc<AggregateUDF>>,
    /// What a job may write.
    callable: BTreeSet<String>,
}

impl Functions {
    pub(crate) fn new() -> Self {
        let mut scalar: HashMap<String, Arc<ScalarUDF>> = HashMap::new();
        for function in datafusion::functions::all_default_functions() {
            for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
                scalar.insert(name.to_string(), Arc::clone(&function));
            }
        }
        let own = [time::functions(), text::functions(), json::functions()].concat();
        let mut callable: BTreeSet<String> =
            SAME.iter().chain(SUGAR).chain(WALL_TIME).map(|name| (*name).to_string()).collect();
        for function in own {
            if !function.name().starts_with("aqueduct_") {
                callable.insert(function.name().to_string());
            }
            scalar.insert(function.name().to_string(), function);
        }
        for name in WALL_TIME {
            scalar.insert((*name).to_string(), sealed_at());
        }
        let aggregate: HashMap<_, _> =
            aggregate::functions().into_iter().map(|udaf| (udaf.name().to_string(), udaf)).collect();
        callable.extend(aggregate.keys().cloned());
        Self { scalar, aggregate, callable }
    }

    pub(crate) fn scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalar.get(&name.to_ascii_lowercase()).cloned()
    }

    pub(crate) fn aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.aggregate.get(&name.to_ascii_lowercase()).cloned()
    }

    pub(crate) fn is_aggregate(&self, name: &str) -> bool {
        self.aggregate.contains_key(&name.to_ascii_lowercase())
    }

    pub(crate) fn is_callable(&self, name: &str) -> bool {
        self.callable.contains(&name.to_ascii_lowercase())
    }

    /// Names for "did you mean".
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.callable.iter().map(String::as_str)
    }
}
