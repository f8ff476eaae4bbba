//! The way through a job's statements: tables and views as they stand, inserts planned against what stands above them.
//!
//! Problems of tables and variables are collected; planning of queries stops at the first one.

use crate::check::{Check, Facts};
use crate::context::{Context, Relation};
use crate::diagnose::df_problem;
use crate::error::{Problem, Result};
use crate::functions::Functions;
use crate::insert::PlannedInsert;
use crate::lower::{self, Known};
use crate::statement::{self, Statement, Tokens};
use crate::tables::{self, Table};
use crate::text::{self, Prepared};
use crate::{PlanRequest, assemble, insert, names, options};
use aqueduct_plan::{JobPlan, SystemTable};
use arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::Analyzer;
use datafusion::sql::planner::SqlToRel;
use sqlparser::ast::{self, Ident, Query, SelectItem, SetExpr, Spanned};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What has been read so far.
pub(crate) struct Job<'a> {
    pub(crate) request: &'a PlanRequest<'a>,
    prepared: &'a Prepared,
    functions: Functions,
    pub(crate) tables: BTreeMap<String, Table>,
    /// Views, with what matters about their rows.
    views: HashMap<String, Facts>,
    relations: HashMap<String, Relation>,
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) inserts: Vec<PlannedInsert>,
}

/// Plans a job.
pub(crate) fn plan(request: &PlanRequest<'_>) -> std::result::Result<JobPlan, Vec<Problem>> {
    let alone = |problem| vec![problem];
    let prepared = text::prepare(request.text, request.variables).map_err(alone)?;
    let statements = statement::split(&prepared).map_err(alone)?;
    let mut job = Job::new(request, &prepared);
    let mut problems = Vec::new();
    for tokens in &statements {
        if let Err(found) = job.statement(tokens, problems.is_empty()) {
            problems.extend(found);
        }
    }
    if problems.is_empty() && job.inserts.is_empty() {
        let at = statements.last().map_or(crate::Position::START, Tokens::start);
        problems.push(
            Problem::new(at, "the job has no INSERT INTO: it would do nothing")
                .help("write INSERT INTO table SELECT ... FROM source"),
        );
    }
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.at);
        problems.dedup();
        return Err(problems);
    }
    job.settings.extend(request.settings.clone());
    check_settings(&job.settings).map_err(alone)?;
    assemble::assemble(&job).map_err(alone)
}

fn check_settings(settings: &BTreeMap<String, String>) -> Result<()> {
    if let Some(zone) = settings.get("table.local-time-zone")
        && !["UTC", "Z", "GMT", "Etc/UTC", "+00:00"].iter().any(|utc| utc.eq_ignore_ascii_case(zone))
    {
        return Err(Problem::new(crate::Position::START, format!("table.local-time-zone = '{zone}' is not supported"))
            .help("times are in UTC: set it to 'UTC', and convert when you read the results"));
    }
    Ok(())
}

impl<'a> Job<'a> {
    fn new(request: &'a PlanRequest<'a>, prepared: &'a Prepared) -> Self {
        let relation = |table: SystemTable| (table.name().to_string(), Relation { schema: table.schema(), view: None });
        Self {
            request,
            prepared,
            functions: Functions::new(),
            tables: BTreeMap::new(),
            views: HashMap::new(),
            relations: SystemTable::ALL.into_iter().map(relation).collect(),
            settings: BTreeMap::new(),
            inserts: Vec::new(),
        }
    }

    /// `sound` is false when a problem has been found already: queries may then fail only because of it.
    fn statement(&mut self, tokens: &Tokens, sound: bool) -> std::result::Result<(), Vec<Problem>> {
        let skip = |table: &str| self.request.overrides.skip.contains(table);
        let parsed = match statement::parse(tokens, self.prepared, &skip) {
            Ok(parsed) => parsed,
            Err(_) if created(tokens).is_some_and(|name| skip(&name)) => return Ok(()),
            Err(problem) => return Err(vec![problem]),
        };
        let alone = |problem| vec![problem];
        match parsed {
            Statement::Skipped => Ok(()),
            Statement::Set { key, value } => {
                self.settings.insert(key, value);
                Ok(())
            }
            Statement::Reset { key: Some(key) } => {
                self.settings.remove(&key);
                Ok(())
            }
            Statement::Reset { key: None } => {
                self.settings.clear();
                Ok(())
            }
            Statement::CreateTable { table, if_not_exists } => self.create_table(&table, if_not_exists, tokens),
            Statement::CreateView { name, columns, query, if_not_exists } if sound => {
                self.create_view(&name, &columns, *query, if_not_exists, tokens).map_err(alone)
            }
            Statement::Insert { table, columns, query } if sound => {
                self.insert(&table, &columns, *query, tokens).map_err(alone)
            }
            Statement::CreateView { .. } | Statement::Insert { .. } => Ok(()),
        }
    }

    /// False when the name is taken and that is fine.
    fn free(&self, name: &Ident, if_not_exists: bool) -> Result<bool> {
        if !self.relations.contains_key(&name.value) {
            return Ok(true);
        }
        if if_not_exists {
            return Ok(false);
        }
        let what = if name.value.starts_with("aqueduct$") { "is a table of the engine" } else { "exists already" };
        Err(Problem::new(name.span.start, format!("'{}' {what}", name.value)).help("take another name"))
    }

    fn create_table(
        &mut self,
        ddl: &crate::ddl::TableDdl,
        if_not_exists: bool,
        tokens: &Tokens,
    ) -> std::result::Result<(), Vec<Problem>> {
        let name = ddl.name.value.clone();
        if !self.free(&ddl.name, if_not_exists).map_err(|problem| vec![problem])? {
            return Ok(());
        }
        let resolved = options::resolve(ddl, self.request, self.prepared).and_then(|options| {
            let context = Context::new(&self.functions, &self.relations);
            let relation = |_: &str| None;
            let check = Check { functions: &self.functions, tokens, relation: &relation, relations: Vec::new() };
            tables::resolve(ddl, options, &check, &context).map_err(|problem| vec![problem])
        });
        let table = match resolved {
            Ok(table) => table,
            Err(_) if self.request.overrides.skip.contains(&name) => return Ok(()),
            Err(problems) => return Err(problems),
        };
        self.relations.insert(name.clone(), Relation { schema: table.schema(), view: None });
        self.tables.insert(name, table);
        Ok(())
    }

    fn create_view(
        &mut self,
        name: &Ident,
        columns: &[Ident],
        query: Query,
        if_not_exists: bool,
        tokens: &Tokens,
    ) -> Result<()> {
        if !self.free(name, if_not_exists)? {
            return Ok(());
        }
        let (plan, facts, _) = self.query(query, tokens)?;
        let plan = rename(plan, name, columns, tokens)?;
        let fields = plan.schema().fields();
        for (index, field) in fields.iter().enumerate() {
            if fields.iter().take(index).any(|other| other.name() == field.name()) {
                return Err(Problem::new(name.span.start, format!("the view has two columns '{}'", field.name()))
                    .help("give one of them another name: expression AS name"));
            }
        }
        let schema = Arc::new(Schema::new(fields.clone()));
        self.relations.insert(name.value.clone(), Relation { schema, view: Some(plan) });
        self.views.insert(name.value.clone(), facts);
        Ok(())
    }

    /// The analysed plan, what matters about its rows, and where the items of its SELECT list stand.
    fn query(&self, mut query: Query, tokens: &Tokens) -> Result<(LogicalPlan, Facts, Vec<crate::Position>)> {
        let positions = item_positions(&query);
        let relation = |name: &str| {
            let known = self.views.get(name).copied();
            known.or_else(|| self.relations.contains_key(name).then(Facts::default))
        };
        let mut relations: Vec<String> = self.relations.keys().cloned().collect();
        relations.sort();
        let check = Check { functions: &self.functions, tokens, relation: &relation, relations };
        let facts = check.query(&mut query)?;
        let context = Context::new(&self.functions, &self.relations);
        let planned = SqlToRel::new_with_options(&context, Context::parser_options())
            .sql_statement_to_plan(ast::Statement::Query(Box::new(query)))
            .and_then(|plan| Analyzer::new().execute_and_check(plan, &ConfigOptions::default(), |_, _| {}))
            .map_err(|error| df_problem(&error, tokens))?;
        self.check_sources(&planned, tokens)?;
        Ok((planned, facts, positions))
    }

    fn check_sources(&self, plan: &LogicalPlan, tokens: &Tokens) -> Result<()> {
        if let LogicalPlan::TableScan(scan) = plan {
            let name = scan.table_name.table();
            if let Some(table) = self.tables.get(name)
                && !table.options.connector.roles().source
            {
                let connector = table.options.connector.name();
                let at = tokens.find_after("FROM", name).unwrap_or_else(|| tokens.start());
                let sources = self
                    .request
                    .connectors
                    .iter()
                    .filter(|connector| connector.roles().source)
                    .map(|connector| connector.name());
                return Err(Problem::new(
                    at,
                    format!("'{name}' cannot be read: the connector '{connector}' only writes"),
                )
                .help(format!("connectors that read: {}", sources.collect::<Vec<_>>().join(", "))));
            }
        }
        plan.inputs().into_iter().try_for_each(|input| self.check_sources(input, tokens))
    }

    fn insert(&mut self, target: &Ident, columns: &[Ident], query: Query, tokens: &Tokens) -> Result<()> {
        let Some(table) = self.tables.get(&target.value) else {
            let view =
                if self.views.contains_key(&target.value) { "a view cannot be written" } else { "there is no table" };
            return Err(Problem::new(target.span.start, format!("{view}: '{}'", target.value)).help(names::suggest(
                &target.value,
                "tables above this line",
                self.tables.keys().map(String::as_str),
            )));
        };
        let table = table.clone();
        let mut query = query;
        name_apart(&mut query);
        let (plan, facts, positions) = self.query(query, tokens)?;
        if facts.windowed {
            return Err(Problem::new(
                tokens.find(&["TUMBLE", "HOP", "CUMULATE"]).unwrap_or_else(|| tokens.start()),
                "a window function without GROUP BY is not supported",
            )
            .help("add GROUP BY window_start, window_end, ..."));
        }
        let event_time = |name: &str| self.tables.get(name)?.event_time.as_ref().map(|time| time.column.clone());
        let is_view = |name: &str| self.views.contains_key(name);
        let lowered = lower::lower(&plan, Known { event_time: &event_time, is_view: &is_view }).map_err(|refusal| {
            Problem::new(tokens.find(refusal.words).unwrap_or_else(|| tokens.start()), refusal.message)
                .help(refusal.help)
        })?;
        let sources = self.request.connectors.iter().map(Arc::as_ref).collect::<Vec<_>>();
        let planned = insert::plan(&table, target, columns, lowered, &positions, tokens, &sources)?;
        self.inserts.push(planned);
        Ok(())
    }
}

/// The name in `CREATE TABLE name`, found without parsing.
fn created(tokens: &Tokens) -> Option<String> {
    let words: Vec<String> = tokens
        .tokens
        .iter()
        .take(8)
        .filter_map(|token| match &token.token {
            sqlparser::tokenizer::Token::Word(word) => Some(word.value.clone()),
            _ => None,
        })
        .collect();
    let passed = ["CREATE", "TEMPORARY", "TABLE", "IF", "NOT", "EXISTS"];
    let is_table = words.iter().take(3).any(|word| word.eq_ignore_ascii_case("TABLE"));
    words.into_iter().find(|word| !passed.iter().any(|other| other.eq_ignore_ascii_case(word))).filter(|_| is_table)
}

fn rename(plan: LogicalPlan, name: &Ident, columns: &[Ident], tokens: &Tokens) -> Result<LogicalPlan> {
    if columns.is_empty() {
        return Ok(plan);
    }
    let given = plan.schema().fields().len();
    if given != columns.len() {
        return Err(Problem::new(
            name.span.start,
            format!("the view names {} columns, its query has {given}", columns.len()),
        )
        .help("name as many columns as the SELECT list has items"));
    }
    let exprs: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(columns)
        .map(|(column, name)| Expr::Column(column).alias(&name.value))
        .collect();
    LogicalPlanBuilder::from(plan)
        .project(exprs)
        .and_then(LogicalPlanBuilder::build)
        .map_err(|error| df_problem(&error, tokens))
}

/// The outermost select.
fn outermost(query: &mut Query) -> Option<&mut Vec<SelectItem>> {
    match query.body.as_mut() {
        SetExpr::Query(inner) => outermost(inner),
        SetExpr::Select(select) => Some(&mut select.projection),
        _ => None,
    }
}

/// An insert goes by position: items of the same name (`SELECT id, id`) get names of their own, for DataFusion.
fn name_apart(query: &mut Query) {
    let Some(items) = outermost(query) else { return };
    let wildcard = items.iter().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut seen: Vec<String> = Vec::new();
    for (index, item) in items.iter_mut().enumerate() {
        let (expr, name) = match item {
            SelectItem::UnnamedExpr(expr) => (expr.clone(), unnamed(expr)),
            SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), alias.value.clone()),
            _ => continue,
        };
        let hidden = wildcard && matches!(item, SelectItem::UnnamedExpr(_));
        if hidden || seen.contains(&name) {
            *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('`', format!("$item{index}")) };
        }
        seen.push(name);
    }
}

fn unnamed(expr: &ast::Expr) -> String {
    match expr {
        ast::Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// Empty when `*` hides how many items there are.
fn item_positions(query: &Query) -> Vec<crate::Position> {
    let mut body = query.body.as_ref();
    while let SetExpr::Query(inner) = body {
        body = inner.body.as_ref();
    }
    let SetExpr::Select(select) = body else { return Vec::new() };
    let wildcard = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    if select.projection.iter().any(wildcard) {
        return Vec::new();
    }
    select
        .projection
        .iter()
        .map(|item| match item {
            SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr) => expr.span().start.into(),
            other => other.span().start.into(),
        })
        .collect()
}
