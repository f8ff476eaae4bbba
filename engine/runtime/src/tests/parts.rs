//! A source and a sink in memory that keep their contracts, and a job made of them.

use crate::{Environment, Job, Settings};
use aqueduct_core::{
    Claimed, Clock, ColumnKind, CommitPermit, Cursor, DeadLetter, Epoch, Error, Generation, JobName, Lineage, Offset,
    Options, RawRecord, RawRecords, Read, ReadBudget, Result, SealedEpoch, Sink, SinkSpec, Source, SourceBatch,
    SourceIdentity, SourceReader, SourceSpec, SplitId, SplitLag, SplitStart, TableColumn,
};
use aqueduct_plan::{
    Aggregate, AggregateFunction, EventTimeSpec, Insert, JobPlan, Query, QueryInput, SinkTable, SourceTable, Stage,
    SystemTable, WindowAggregate, WindowKind,
};
use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use async_trait::async_trait;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, col, lit};
use object_store::ObjectStore;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Watermark delay of the test table.
pub(super) const DELAY: i64 = 50;
/// Window length.
pub(crate) const SIZE: i64 = 1_000;

/// A row: event time (`None` is a missing one), key.
pub(super) type Row = (Option<i64>, &'static str);

#[derive(Debug)]
struct Steady(Instant);

impl Clock for Steady {
    fn wall_ms(&self) -> i64 {
        1_700_000_000_000
    }

    fn steady(&self) -> Duration {
        self.0.elapsed()
    }
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn column(name: &str, data_type: DataType) -> TableColumn {
    TableColumn {
        name: name.to_owned(),
        sql_type: data_type.to_string(),
        data_type,
        nullable: true,
        kind: ColumnKind::Physical,
    }
}

/// Rows per partition, read `batch` at a time; every read waits for `gate` to let it through.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) splits: Arc<Vec<Vec<Row>>>,
    pub(super) batch: usize,
    /// How many rows may be read in all; raised by the test.
    pub(super) gate: Arc<std::sync::atomic::AtomicU64>,
    pub(super) bounded: bool,
    /// Held by the test, it lets no look for partitions come back; what it holds is the identity that a look finds.
    pub(super) identity: Arc<Mutex<SourceIdentity>>,
}

struct RowsReader {
    rows: Rows,
    at: Vec<(usize, usize, bool)>,
    turn: usize,
}

#[derive(Debug)]
struct NoRaw;

impl RawRecords for NoRaw {
    fn raw(&self, row: usize) -> RawRecord {
        RawRecord { key: None, value: Some(format!("row {row}").into_bytes()), timestamp_ms: None }
    }
}

impl Source for Rows {
    fn discover(&mut self) -> Result<(Vec<SplitId>, SourceIdentity)> {
        Ok((
            (0..self.splits.len() as i32).map(|partition| SplitId::new("rows", partition)).collect(),
            self.identity.lock().unwrap().clone(),
        ))
    }

    fn start_of(&mut self, _: &SplitId, _: bool) -> Result<Offset> {
        Ok(Offset(0))
    }

    fn reader(&mut self, splits: Vec<SplitStart>) -> Result<Box<dyn SourceReader>> {
        let at = splits.iter().map(|start| (start.split.partition as usize, start.offset.0 as usize, false)).collect();
        Ok(Box::new(RowsReader { rows: self.clone(), at, turn: 0 }))
    }

    fn publish_progress(&mut self, _: &[SplitStart]) -> Result<()> {
        Ok(())
    }

    fn bounded(&self) -> bool {
        self.bounded
    }

    fn expected_records(&self) -> Option<u64> {
        None
    }
}

impl SourceReader for RowsReader {
    fn read(&mut self, _: ReadBudget) -> Result<Read> {
        if self.at.iter().all(|(.., ended)| *ended) {
            return Ok(Read::End);
        }
        self.turn += 1;
        let turn = self.turn % self.at.len();
        let (split, from, ended) = &mut self.at[turn];
        let all = &self.rows.splits[*split];
        if *ended {
            return Ok(Read::Empty);
        }
        if *from == all.len() {
            if self.rows.bounded {
                *ended = true;
                return Ok(Read::SplitEnd(SplitId::new("rows", *split as i32)));
            }
            std::thread::sleep(Duration::from_millis(1));
            return Ok(Read::Empty);
        }
        let rows = self.rows.batch.min(all.len() - *from);
        let gate = &self.rows.gate;
        let passed =
            gate.fetch_update(std::sync::atomic::Ordering::SeqCst, std::sync::atomic::Ordering::SeqCst, |left| {
                left.checked_sub(rows as u64)
            });
        if passed.is_err() {
            std::thread::sleep(Duration::from_millis(1));
            return Ok(Read::Empty);
        }
        let batch = source_batch(*split, *from, &all[*from..*from + rows]);
        *from += rows;
        Ok(Read::Batch(batch))
    }

    fn assign(&mut self, _: Vec<SplitStart>) -> Result<()> {
        Ok(())
    }

    fn lag(&self) -> Vec<SplitLag> {
        Vec::new()
    }

    fn close(&mut self) {}
}

/// The row whose key is "broken" becomes a dead letter.
fn source_batch(split: usize, from: usize, rows: &[Row]) -> SourceBatch {
    let id = SplitId::new("rows", split as i32);
    let good: Vec<(usize, &Row)> = rows.iter().enumerate().filter(|(_, (_, key))| *key != "broken").collect();
    let times: TimestampMillisecondArray = good.iter().map(|(_, (time, _))| *time).collect();
    let keys: StringArray = good.iter().map(|(_, (_, key))| Some(*key)).collect();
    let schema = TableColumn::schema(&[column("t", time()), column("k", DataType::Utf8)]);
    let dead = rows.iter().enumerate().filter(|(_, (_, key))| *key == "broken").map(|(index, _)| DeadLetter {
        split: id.clone(),
        offset: (from + index) as i64,
        record: RawRecord { key: None, value: Some(b"broken".to_vec()), timestamp_ms: None },
        reason: "broken".to_owned(),
    });
    SourceBatch {
        split: id.clone(),
        rows: RecordBatch::try_new(schema, vec![Arc::new(times), Arc::new(keys)]).unwrap(),
        offsets: good.iter().map(|(index, _)| (from + index) as i64).collect(),
        dead: dead.collect(),
        next: Offset((from + rows.len()) as i64),
        skipped: 0,
        raw: Box::new(NoRaw),
    }
}

/// What a sink's system holds: rows, cursor per lineage, fence.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: Vec<Vec<String>>,
    cursors: BTreeMap<Lineage, Epoch>,
    fence: Option<Generation>,
    /// The next calls fail: before anything happened (false), or after it was applied (true).
    pub(super) faults: Vec<bool>,
    /// The most rows that came at once.
    pub(super) largest: usize,
}

/// A sink over a table that outlives the process under test.
#[derive(Debug, Clone, Default)]
pub(super) struct MemorySink(pub(super) Arc<Mutex<Table>>);

#[async_trait]
impl Sink for MemorySink {
    async fn open(&mut self, claimed: &Claimed) -> Result<Cursor> {
        let mut table = self.0.lock().unwrap();
        if table.fence > Some(claimed.generation) {
            return Err(Error::fenced("a newer owner"));
        }
        table.fence = Some(claimed.generation);
        Ok(Cursor(table.cursors.get(&claimed.lineage).copied().unwrap_or(Epoch::ZERO)))
    }

    async fn apply(&mut self, permit: CommitPermit, epoch: &SealedEpoch) -> Result<Cursor> {
        let mut table = self.0.lock().unwrap();
        let fault = table.faults.pop();
        if fault == Some(false) {
            return Err(Error::retry("the request was lost"));
        }
        let claimed = permit.claimed();
        if table.fence > Some(claimed.generation) {
            return Err(Error::fenced("a newer owner"));
        }
        let cursor = table.cursors.get(&claimed.lineage).copied().unwrap_or(Epoch::ZERO);
        assert_eq!(epoch.after.0, cursor, "the engine lost track of the cursor");
        table.largest = table.largest.max(epoch.rows());
        for batch in &epoch.batches {
            for row in 0..batch.num_rows() {
                table.rows.push(batch.columns().iter().map(|column| text(column, row)).collect());
            }
        }
        table.cursors.insert(claimed.lineage, permit.epoch());
        if fault == Some(true) { Err(Error::retry("the reply was lost")) } else { Ok(Cursor(permit.epoch())) }
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

fn text(column: &ArrayRef, row: usize) -> String {
    match column.data_type() {
        DataType::Timestamp(..) => column.as_primitive::<TimestampMillisecondType>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        _ => column.as_string::<i32>().value(row).to_owned(),
    }
}

fn pass(schema: SchemaRef) -> Stage {
    Stage { filter: None, project: None, schema, text: Vec::new() }
}

fn pick(input: &Schema, names: &[&str]) -> Stage {
    let project: Vec<Arc<dyn PhysicalExpr>> = names.iter().map(|name| col(name, input).unwrap()).collect();
    let fields: Vec<Field> = names.iter().map(|name| input.field_with_name(name).unwrap().clone()).collect();
    Stage { filter: None, project: Some(project), schema: Arc::new(Schema::new(fields)), text: Vec::new() }
}

fn sink_table(name: &str, schema: &Schema) -> SinkTable {
    let columns = schema.fields().iter().map(|field| column(field.name(), field.data_type().clone())).collect();
    let options = Options::new(name, BTreeMap::new());
    SinkTable {
        connector: "memory".to_owned(),
        spec: SinkSpec {
            table: name.to_owned(),
            options,
            columns,
            primary_key: Vec::new(),
            partitioned_by: Vec::new(),
            fail_points: aqueduct_core::FailPoints::default(),
        },
    }
}

/// COUNT(*) by k and window of [`SIZE`], late rows and dead letters, into three sinks.
pub(crate) fn plan(changed: bool) -> JobPlan {
    let columns = vec![column("t", time()), column("k", DataType::Utf8)];
    let schema = TableColumn::schema(&columns);
    // The watermark is t - DELAY, in whole milliseconds.
    let millis = Arc::new(CastExpr::new(col("t", &schema).unwrap(), DataType::Int64, None));
    let minus = Arc::new(BinaryExpr::new(millis, datafusion::logical_expr::Operator::Minus, lit(DELAY)));
    let watermark = Arc::new(CastExpr::new(minus, time(), None));
    let spec = SourceSpec {
        table: "rows".to_owned(),
        options: Options::new("rows", BTreeMap::new()),
        declared: columns.clone(),
        columns,
        job: "test".to_owned(),
        fail_points: aqueduct_core::FailPoints::default(),
    };
    let event_time = EventTimeSpec {
        column: 0,
        watermark,
        watermark_text: "t - 50 ms".to_owned(),
        idle_timeout: None,
        late_by_operator: false,
    };
    let source = SourceTable {
        connector: "memory".to_owned(),
        spec,
        computed: pass(schema.clone()),
        event_time: Some(event_time),
    };
    let count = Aggregate {
        function: AggregateFunction::Count,
        argument: None,
        input_type: DataType::Int64,
        filter: None,
        output_type: DataType::Int64,
        text: "COUNT(*)".to_owned(),
    };
    let mut fields: Vec<Field> =
        ["window_start", "window_end", "window_time"].map(|name| Field::new(name, time(), false)).into();
    fields.push(Field::new("k", DataType::Utf8, true));
    fields.push(Field::new("n", DataType::Int64, false));
    let result = Arc::new(Schema::new(fields));
    let size = if changed { SIZE * 2 } else { SIZE };
    let window = WindowAggregate {
        kind: WindowKind::Tumble { size, offset: 0 },
        time_column: 0,
        keys: vec![col("k", &schema).unwrap()],
        aggregates: vec![count],
        schema: result.clone(),
        key_text: vec!["k".to_owned()],
    };
    let query = |id: &str, input, window: Option<WindowAggregate>, schema: SchemaRef| Query {
        id: id.to_owned(),
        name: id.split('@').next().unwrap_or(id).to_owned(),
        input,
        stages: Vec::new(),
        window,
        schema,
    };
    let id = if changed { "counts@2" } else { "counts@1" };
    let (late, dead) = (SystemTable::Late, SystemTable::DeadLetters);
    let stages = [
        pick(&result, &["window_start", "k", "n"]),
        pick(&late.schema(), &["partition", "offset"]),
        pick(&dead.schema(), &["partition", "offset", "reason"]),
    ];
    let sinks =
        ["counts", "late", "dead"].iter().zip(&stages).map(|(name, stage)| sink_table(name, &stage.schema)).collect();
    JobPlan {
        settings: BTreeMap::new(),
        sources: vec![source],
        queries: vec![
            query(id, QueryInput::Source(0), Some(window), result),
            query("late", QueryInput::System(late), None, late.schema()),
            query("dead", QueryInput::System(dead), None, dead.schema()),
        ],
        sinks,
        inserts: stages
            .into_iter()
            .enumerate()
            .map(|(index, stage)| Insert { sink: index, query: index, stage })
            .collect(),
    }
}

/// What survives a crash of the process: the store and the sinks' tables.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) sinks: [MemorySink; 3],
}

impl World {
    pub(super) fn new() -> Self {
        Self { store: Arc::new(object_store::memory::InMemory::new()), sinks: Default::default() }
    }

    /// A job over this world.
    pub(super) fn job(&self, rows: Rows, parallelism: usize, state_dir: &std::path::Path, changed: bool) -> Job {
        let settings = Settings {
            job: JobName::new("test").unwrap(),
            parallelism,
            checkpoint_interval: Duration::from_millis(60),
            checkpoint_min_pause: Duration::from_millis(5),
            max_backlog_bytes: 1 << 20,
            max_buffered_bytes: 1 << 20,
            max_kept_exits: usize::MAX,
            max_state_bytes: u64::MAX,
            max_restore_bytes: u64::MAX,
            max_fired_keys: 10,
            max_fired_rows: 10,
            panes_per_turn: 2,
            panes_per_load: 3,
            discovery_interval: None,
            retained_checkpoints: 2,
            collect_every: 20,
            on_damage: crate::OnDamage::Refuse,
            other_input: false,
        };
        let environment = Environment {
            checkpoint_store: self.store.clone(),
            checkpoint_root: object_store::path::Path::from("checkpoints"),
            checkpoint_url: "memory".to_owned(),
            state_dir: state_dir.to_owned(),
            sources: vec![Box::new(rows)],
            sinks: self.sinks.iter().map(|sink| Box::new(sink.clone()) as Box<dyn Sink>).collect(),
            clock: Arc::new(Steady(Instant::now())),
            fail_points: aqueduct_core::FailPoints::default(),
            host: Arc::new(crate::TokioHost::default()),
            ids: Arc::new(aqueduct_checkpoint::SystemIds),
            settled_state: false,
            owner: None,
            control: Arc::default(),
            savepoint: None,
        };
        Job { plan: plan(changed), settings, environment }
    }

    /// The rows of a sink, sorted.
    pub(super) fn rows(&self, sink: usize) -> Vec<Vec<String>> {
        let mut rows = self.sinks[sink].0.lock().unwrap().rows.clone();
        rows.sort();
        rows
    }
}

/// What the three sinks must hold in the end, from the definition.
pub(super) fn expected(splits: &[Vec<Row>]) -> [Vec<Vec<String>>; 3] {
    let mut counts: BTreeMap<(i64, &str), i64> = BTreeMap::new();
    let (mut late, mut dead) = (BTreeSet::new(), BTreeSet::new());
    for (partition, rows) in splits.iter().enumerate() {
        let mut watermark = i64::MIN;
        for (offset, (time, key)) in rows.iter().enumerate() {
            let place = (partition.to_string(), offset.to_string());
            match time {
                _ if *key == "broken" => drop(dead.insert((place.0, place.1, "broken".to_owned()))),
                None => drop(dead.insert((place.0, place.1, "t: the event time is missing".to_owned()))),
                Some(time) => {
                    let start = time.div_euclid(SIZE) * SIZE;
                    if start + SIZE - 1 <= watermark {
                        late.insert(vec![place.0, place.1]);
                    } else {
                        *counts.entry((start, key)).or_default() += 1;
                    }
                    watermark = watermark.max(time - DELAY);
                }
            }
        }
    }
    let mut counts: Vec<Vec<String>> =
        counts.into_iter().map(|((start, key), n)| vec![start.to_string(), key.to_owned(), n.to_string()]).collect();
    counts.sort();
    [counts, late.into_iter().collect(), dead.into_iter().map(|(p, o, why)| vec![p, o, why]).collect()]
}

/// Disordered rows over four partitions, the last one empty.
pub(super) fn sample(rows: usize) -> Vec<Vec<Row>> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = move |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    let mut splits = vec![Vec::new(); 4];
    for row in 0..rows {
        let now = (row as i64) * 7;
        let time = match next(100) {
            0 => None,
            1..=3 => Some(now - 3_000),
            _ => Some(now - next(60) as i64),
        };
        let key = if next(200) == 0 { "broken" } else { ["a", "b", "c", "d"][next(4) as usize] };
        splits[next(3) as usize].push((time, key));
    }
    splits
}
