//! What is kept of each group: words of a row, which aggregates share where they look at the same values.
//!
//! `COUNT(*), SUM(v), AVG(v), MIN(v)` are a count of rows, a count of values, one sum and one least value: 32 bytes. Which
//! values come, and what is done with them, is not known here.

use super::rows::wide_words;
use aqueduct_core::{Error, Result};
use aqueduct_plan::{Aggregate, AggregateFunction};
use arrow::datatypes::DataType;
use datafusion::physical_expr::PhysicalExpr;
use std::sync::Arc;

/// How values of a type are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Whole,
    Decimal,
    Double,
    Text,
}

fn kind(data_type: &DataType) -> Option<Kind> {
    Some(match data_type {
        DataType::Int64 | DataType::Timestamp(_, _) | DataType::Date32 | DataType::Boolean | DataType::Time32(_) => {
            Kind::Whole
        }
        DataType::Decimal128(_, _) => Kind::Decimal,
        DataType::Float64 => Kind::Double,
        DataType::Utf8 => Kind::Text,
        _ => return None,
    })
}

/// What values are folded into, beside their count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Sum,
    Least,
    Greatest,
}

/// Words of a row, or for texts a column of its own, and what is folded into them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) what: What,
    pub(super) kind: Kind,
    /// The first word; of texts the number of their column.
    pub(super) at: usize,
}

/// Values that several aggregates may look at: an argument, under a filter.
#[derive(Debug)]
pub(super) struct Input {
    /// `None` for `COUNT(*)`.
    pub(super) argument: Option<Arc<dyn PhysicalExpr>>,
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    pub(super) input_type: DataType,
    /// The word that counts the values. An empty group has none, and its cells mean nothing.
    pub(super) count: usize,
    pub(super) cells: Vec<Cell>,
}

/// Where an aggregate's result comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// The sum is to be divided by the count.
    pub(super) averages: bool,
    /// The word that counts the values.
    pub(super) count: usize,
    /// What beside the count the result is made of.
    pub(super) cell: Option<Cell>,
}

/// The rows of a query's groups.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(super) inputs: Vec<Input>,
    /// One per aggregate.
    pub(super) outputs: Vec<Output>,
    /// The words of a group that nothing was folded into.
    pub(super) empty: Vec<u64>,
    /// Columns of texts.
    pub(super) texts: usize,
}

impl Layout {
    /// The rows for these aggregates.
    ///
    /// # Errors
    /// An aggregate of values that cannot be held.
    pub(crate) fn of(aggregates: &[Aggregate]) -> Result<Self> {
        let mut layout = Self { inputs: Vec::new(), outputs: Vec::new(), empty: Vec::new(), texts: 0 };
        // Words of one input lie side by side, so inputs come before what is made of them.
        let inputs = aggregates.iter().map(|aggregate| layout.input(aggregate)).collect::<Vec<_>>();
        for at in 0..layout.inputs.len() {
            layout.inputs[at].count = layout.words(&[0]);
            for (aggregate, _) in aggregates.iter().zip(&inputs).filter(|(_, input)| **input == at) {
                layout.add_cell(at, aggregate)?;
            }
        }
        for (aggregate, input) in aggregates.iter().zip(inputs) {
            let input = &layout.inputs[input];
            let what = what(aggregate.function);
            let cell = input.cells.iter().find(|cell| Some(cell.what) == what).copied();
            let averages = aggregate.function == AggregateFunction::Avg;
            layout.outputs.push(Output { averages, count: input.count, cell });
        }
        Ok(layout)
    }

    /// The number of an aggregate's input, new or known.
    fn input(&mut self, aggregate: &Aggregate) -> usize {
        let Aggregate { argument, filter, input_type, .. } = aggregate;
        let same = |input: &Input| {
            input.argument == *argument
                && input.filter == *filter
                && (argument.is_none() || input.input_type == *input_type)
        };
        if let Some(known) = self.inputs.iter().position(same) {
            return known;
        }
        let (argument, filter, input_type) = (argument.clone(), filter.clone(), input_type.clone());
        self.inputs.push(Input { argument, filter, input_type, count: 0, cells: Vec::new() });
        self.inputs.len() - 1
    }

    fn add_cell(&mut self, input: usize, aggregate: &Aggregate) -> Result<()> {
        let Some(what) = what(aggregate.function) else { return Ok(()) };
        if self.inputs[input].cells.iter().any(|cell| cell.what == what) {
            return Ok(());
        }
        let kind = kind(&aggregate.input_type).filter(|kind| !(what == What::Sum && *kind == Kind::Text));
        let kind = kind.ok_or_else(|| {
            Error::config(format!("{} over {} is not supported", aggregate.text, aggregate.input_type))
        })?;
        let at = match (kind, what) {
            (Kind::Text, _) => {
                self.texts += 1;
                self.texts - 1
            }
            (Kind::Decimal, What::Sum) => self.words(&[0; 2]),
            (Kind::Decimal, What::Least) => self.words(&wide_words(i128::MAX)),
            (Kind::Decimal, What::Greatest) => self.words(&wide_words(i128::MIN)),
            (_, What::Least) => self.words(&[u64::MAX]),
            (_, What::Sum | What::Greatest) => self.words(&[0]),
        };
        self.inputs[input].cells.push(Cell { what, kind, at });
        Ok(())
    }

    fn words(&mut self, empty: &[u64]) -> usize {
        self.empty.extend_from_slice(empty);
        self.empty.len() - empty.len()
    }
}

fn what(function: AggregateFunction) -> Option<What> {
    match function {
        AggregateFunction::Count => None,
        AggregateFunction::Sum | AggregateFunction::Avg => Some(What::Sum),
        AggregateFunction::Min => Some(What::Least),
        AggregateFunction::Max => Some(What::Greatest),
    }
}
