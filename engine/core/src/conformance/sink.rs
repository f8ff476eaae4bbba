//! Laws of [`crate::Sink`].
//!
//! Every connector with a sink implements [`SinkHarness`] over one small table and calls [`all`] from its tests; each
//! law gets a fresh, empty table. It knows no async runtime and no external system: the caller drives the futures.
//!
//! ```ignore
//! conformance::sink::all(async |law| MyHarness::new(&format!("t_{law}")).await).await;
//! ```

use crate::{
    Claimed, ColumnKind, CommitPermit, Cursor, Epoch, Error, ErrorKind, Generation, JobName, Lineage, Options, Result,
    SealedEpoch, ShardId, Sink, SinkSpec, TableColumn,
};
use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use std::sync::Arc;

/// A row of the suite's table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// Column `id`, `STRING NOT NULL`; the primary key of a keyed table.
    pub id: String,
    /// Column `n`, `BIGINT`.
    pub n: i64,
}

/// One empty table of an external system, as the suite needs it.
#[async_trait]
pub trait SinkHarness: Send + Sync {
    /// A new value for the table, not opened. Several may live at the same time, as in a double start.
    fn sink(&self) -> Box<dyn Sink>;

    /// Whether the table has `PRIMARY KEY (id)` (see [`spec`]); a table without one only grows.
    fn keyed(&self) -> bool;

    /// What a reader of the external system sees now, in any order, doubles included.
    async fn visible_rows(&self) -> Vec<Row>;
}

/// The columns of the suite's table: `id STRING NOT NULL`, `n BIGINT`.
pub fn columns() -> Vec<TableColumn> {
    let column = |name: &str, data_type, nullable, sql_type: &str| TableColumn {
        name: name.into(),
        data_type,
        nullable,
        sql_type: sql_type.into(),
        kind: ColumnKind::Physical,
    };
    vec![column("id", DataType::Utf8, false, "STRING"), column("n", DataType::Int64, true, "BIGINT")]
}

/// What the sink under test is made from.
pub fn spec(table: &str, options: &[(&str, &str)], keyed: bool) -> SinkSpec {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    SinkSpec {
        table: table.into(),
        options: Options::new(table, options),
        columns: columns(),
        primary_key: if keyed { vec![0] } else { vec![] },
        partitioned_by: vec![],
        fail_points: crate::FailPoints::default(),
    }
}

/// The claim of lineage 1, shard 0 at `generation`.
pub fn claim(generation: u64) -> Claimed {
    claim_of(1, 0, generation)
}

/// Any claim of the suite's job.
pub fn claim_of(lineage: u32, shard: u32, generation: u64) -> Claimed {
    Claimed {
        job: JobName::new("conformance").expect("the name is made of letters"),
        lineage: Lineage(lineage),
        shard: ShardId(shard),
        generation: Generation(generation),
    }
}

/// A batch of the suite's columns.
pub fn batch(rows: &[(&str, i64)]) -> RecordBatch {
    let ids = StringArray::from_iter_values(rows.iter().map(|(id, _)| *id));
    let numbers = Int64Array::from_iter_values(rows.iter().map(|(_, n)| *n));
    RecordBatch::try_new(TableColumn::schema(&columns()), vec![Arc::new(ids), Arc::new(numbers)])
        .expect("both columns have the same length and the schema's types")
}

/// Applies `batches` as `epoch`, expecting the sink to stand at `after`.
pub async fn apply(
    sink: &mut dyn Sink,
    claimed: &Claimed,
    after: u64,
    epoch: u64,
    batches: Vec<RecordBatch>,
) -> Result<Cursor> {
    let sealed = SealedEpoch { after: Cursor(Epoch(after)), sealed_at_ms: 1_767_225_600_000 + epoch as i64, batches };
    sink.apply(CommitPermit::mint(claimed.clone(), Epoch(epoch)), &sealed).await
}

/// Every law, each on a harness of its own; `make` is given the law's name (letters and `_`), to name the table by.
pub async fn all<H: SinkHarness>(make: impl AsyncFn(&'static str) -> H) {
    cursor_starts_at_zero(&make("cursor_starts_at_zero").await).await;
    apply_shows_rows_and_advances(&make("apply_shows_rows_and_advances").await).await;
    cursor_survives_reopening(&make("cursor_survives_reopening").await).await;
    stale_after_changes_nothing(&make("stale_after_changes_nothing").await).await;
    epochs_may_be_skipped(&make("epochs_may_be_skipped").await).await;
    lower_generation_is_fenced(&make("lower_generation_is_fenced").await).await;
    last_row_of_a_key_wins(&make("last_row_of_a_key_wins").await).await;
    new_lineage_starts_at_zero(&make("new_lineage_starts_at_zero").await).await;
    large_epoch_arrives_whole(&make("large_epoch_arrives_whole").await).await;
    shards_do_not_disturb_each_other(&make("shards_do_not_disturb_each_other").await).await;
    close_may_be_repeated(&make("close_may_be_repeated").await).await;
}

/// Before the first epoch the cursor is [`Epoch::ZERO`], however often it is asked for.
pub async fn cursor_starts_at_zero<H: SinkHarness>(harness: &H) {
    let mut sink = harness.sink();
    assert_eq!(open(sink.as_mut(), &claim(1)).await, 0, "first open");
    assert_eq!(open(sink.as_mut(), &claim(1)).await, 0, "second open of the same claim");
    assert_rows(harness, &[], "opening writes no rows").await;
    close(sink.as_mut()).await;
}

/// `apply` returns the permit's epoch, and the rows can be read.
pub async fn apply_shows_rows_and_advances<H: SinkHarness>(harness: &H) {
    let mut sink = opened(harness, &claim(1), 0).await;
    applied(sink.as_mut(), &claim(1), 0, 1, &[("a", 1), ("b", 2)]).await;
    assert_rows(harness, &[("a", 1), ("b", 2)], "after epoch 1").await;
    applied(sink.as_mut(), &claim(1), 1, 2, &[("c", 3)]).await;
    assert_rows(harness, &[("a", 1), ("b", 2), ("c", 3)], "after epoch 2").await;
    close(sink.as_mut()).await;
}

/// The cursor is kept by the external system: another value finds it, with the same claim and with a higher generation.
pub async fn cursor_survives_reopening<H: SinkHarness>(harness: &H) {
    let mut first = opened(harness, &claim(1), 0).await;
    applied(first.as_mut(), &claim(1), 0, 1, &[("a", 1)]).await;
    assert_eq!(open(first.as_mut(), &claim(1)).await, 1, "the same value, opened again");
    applied(first.as_mut(), &claim(1), 1, 2, &[("b", 2)]).await;
    close(first.as_mut()).await;
    let mut second = opened(harness, &claim(2), 2).await;
    applied(second.as_mut(), &claim(2), 2, 3, &[("c", 3)]).await;
    drop(second); // a crash: no close
    let mut third = opened(harness, &claim(3), 3).await;
    assert_rows(harness, &[("a", 1), ("b", 2), ("c", 3)], "after two restarts").await;
    close(third.as_mut()).await;
}

/// An `apply` whose `after` is not the stored cursor fails and changes nothing, behind and ahead of it.
pub async fn stale_after_changes_nothing<H: SinkHarness>(harness: &H) {
    let mut sink = opened(harness, &claim(1), 0).await;
    applied(sink.as_mut(), &claim(1), 0, 1, &[("a", 1)]).await;
    for (after, epoch, what) in
        [(0, 1, "the same epoch again"), (0, 2, "an older cursor"), (4, 5, "a cursor never reached")]
    {
        let result = apply(sink.as_mut(), &claim(1), after, epoch, vec![batch(&[("a", 99), ("z", 99)])]).await;
        assert!(result.is_err(), "{what}: after {after}, epoch {epoch} was applied: {result:?}");
        assert_rows(harness, &[("a", 1)], what).await;
        assert_eq!(open(sink.as_mut(), &claim(1)).await, 1, "{what}: the cursor stays");
    }
    applied(sink.as_mut(), &claim(1), 1, 2, &[("b", 2)]).await;
    assert_rows(harness, &[("a", 1), ("b", 2)], "it goes on afterwards").await;
    close(sink.as_mut()).await;
}

/// Epochs without rows are not delivered, so numbers are skipped.
pub async fn epochs_may_be_skipped<H: SinkHarness>(harness: &H) {
    let mut sink = opened(harness, &claim(1), 0).await;
    applied(sink.as_mut(), &claim(1), 0, 3, &[("a", 1)]).await;
    applied(sink.as_mut(), &claim(1), 3, 17, &[("b", 2)]).await;
    assert_eq!(open(sink.as_mut(), &claim(1)).await, 17);
    assert_rows(harness, &[("a", 1), ("b", 2)], "after epochs 3 and 17").await;
    close(sink.as_mut()).await;
}

/// After `open` of a generation, no lower one changes anything: no zombie that opened before, and none that comes late.
pub async fn lower_generation_is_fenced<H: SinkHarness>(harness: &H) {
    let mut old = opened(harness, &claim(1), 0).await;
    applied(old.as_mut(), &claim(1), 0, 1, &[("a", 1)]).await;
    let mut new = opened(harness, &claim(2), 1).await;
    let zombie = apply(old.as_mut(), &claim(1), 1, 2, vec![batch(&[("a", 99), ("z", 99)])]).await;
    assert_fenced(zombie, "a zombie that opened before");
    assert_rows(harness, &[("a", 1)], "after the zombie's attempt").await;
    applied(new.as_mut(), &claim(2), 1, 2, &[("b", 2)]).await;
    let zombie = apply(old.as_mut(), &claim(1), 2, 3, vec![batch(&[("b", 99)])]).await;
    assert!(zombie.is_err(), "a zombie that guesses the cursor was applied: {zombie:?}");
    let mut late = harness.sink();
    match late.open(&claim(1)).await {
        Err(error) => assert_fenced(Err(error), "a late open"),
        Ok(_) => assert_fenced(apply(late.as_mut(), &claim(1), 2, 3, vec![batch(&[("b", 99)])]).await, "a late owner"),
    }
    assert_rows(harness, &[("a", 1), ("b", 2)], "after all attempts").await;
    // A late open may have cost the newer owner its session (never its fence): it opens again, as after any error.
    assert_eq!(open(new.as_mut(), &claim(2)).await, 2);
    applied(new.as_mut(), &claim(2), 2, 3, &[("c", 3)]).await;
    assert_rows(harness, &[("a", 1), ("b", 2), ("c", 3)], "the newer owner goes on").await;
    close(new.as_mut()).await;
}

/// In a keyed table the last row of a key wins, inside an epoch (also across its batches) and over epochs.
pub async fn last_row_of_a_key_wins<H: SinkHarness>(harness: &H) {
    if !harness.keyed() {
        return;
    }
    let mut sink = opened(harness, &claim(1), 0).await;
    let batches = vec![batch(&[("a", 1), ("b", 1), ("a", 2)]), batch(&[("c", 1), ("b", 3)])];
    let cursor = apply(sink.as_mut(), &claim(1), 0, 1, batches).await.expect("epoch 1 applies");
    assert_eq!(cursor, Cursor(Epoch(1)));
    assert_rows(harness, &[("a", 2), ("b", 3), ("c", 1)], "inside an epoch").await;
    applied(sink.as_mut(), &claim(1), 1, 2, &[("b", 4), ("d", 1)]).await;
    assert_rows(harness, &[("a", 2), ("b", 4), ("c", 1), ("d", 1)], "over epochs").await;
    close(sink.as_mut()).await;
}

/// The cursor belongs to the lineage: a new one begins at zero and leaves the older owner fenced. Lineages are numbered
/// upwards; generations may begin anew in each.
pub async fn new_lineage_starts_at_zero<H: SinkHarness>(harness: &H) {
    let (older, newer) = (claim_of(1, 0, 5), claim_of(2, 0, 6));
    let mut old = opened(harness, &older, 0).await;
    applied(old.as_mut(), &older, 0, 7, &[("a", 1)]).await;
    let mut new = opened(harness, &newer, 0).await;
    applied(new.as_mut(), &newer, 0, 1, &[("b", 2)]).await;
    assert_rows(harness, &[("a", 1), ("b", 2)], "both lineages' rows").await;
    assert_eq!(open(new.as_mut(), &newer).await, 1, "the new lineage's own cursor");
    close(new.as_mut()).await;
    close(old.as_mut()).await;
}

/// 10,000 rows in uneven batches are visible at once, each exactly once.
pub async fn large_epoch_arrives_whole<H: SinkHarness>(harness: &H) {
    let rows: Vec<(String, i64)> = (0..10_000).map(|n| (format!("key-{n:05}"), n)).collect();
    let borrowed: Vec<(&str, i64)> = rows.iter().map(|(id, n)| (id.as_str(), *n)).collect();
    let (small, rest) = borrowed.split_at(17);
    let mut batches = vec![batch(small)];
    batches.extend(rest.chunks(4_096).map(batch));
    let mut sink = opened(harness, &claim(1), 0).await;
    let cursor = apply(sink.as_mut(), &claim(1), 0, 1, batches).await.expect("a large epoch applies");
    assert_eq!(cursor, Cursor(Epoch(1)));
    assert_rows(harness, &borrowed, "a large epoch").await;
    assert_eq!(open(sink.as_mut(), &claim(1)).await, 1);
    close(sink.as_mut()).await;
}

/// Each shard has its own cursor and its own fence on the same table.
pub async fn shards_do_not_disturb_each_other<H: SinkHarness>(harness: &H) {
    let (zero, one) = (claim_of(1, 0, 1), claim_of(1, 1, 9));
    let mut first = opened(harness, &zero, 0).await;
    let mut second = opened(harness, &one, 0).await;
    applied(first.as_mut(), &zero, 0, 1, &[("a", 1)]).await;
    applied(second.as_mut(), &one, 0, 4, &[("b", 2)]).await;
    applied(first.as_mut(), &zero, 1, 2, &[("c", 3)]).await;
    assert_rows(harness, &[("a", 1), ("b", 2), ("c", 3)], "rows of both shards").await;
    assert_eq!(open(first.as_mut(), &zero).await, 2);
    assert_eq!(open(second.as_mut(), &one).await, 4);
    close(first.as_mut()).await;
    close(second.as_mut()).await;
}

/// `close` may come before `open`, twice, and be followed by `open`; nothing is lost by it.
pub async fn close_may_be_repeated<H: SinkHarness>(harness: &H) {
    let mut sink = harness.sink();
    close(sink.as_mut()).await;
    assert_eq!(open(sink.as_mut(), &claim(1)).await, 0);
    applied(sink.as_mut(), &claim(1), 0, 1, &[("a", 1)]).await;
    close(sink.as_mut()).await;
    close(sink.as_mut()).await;
    assert_rows(harness, &[("a", 1)], "after close").await;
    assert_eq!(open(sink.as_mut(), &claim(1)).await, 1);
    applied(sink.as_mut(), &claim(1), 1, 2, &[("b", 2)]).await;
    assert_rows(harness, &[("a", 1), ("b", 2)], "after opening again").await;
    close(sink.as_mut()).await;
}

async fn open(sink: &mut dyn Sink, claimed: &Claimed) -> u64 {
    sink.open(claimed).await.expect("open").0.0
}

async fn opened<H: SinkHarness>(harness: &H, claimed: &Claimed, cursor: u64) -> Box<dyn Sink> {
    let mut sink = harness.sink();
    assert_eq!(open(sink.as_mut(), claimed).await, cursor, "cursor of {claimed:?}");
    sink
}

async fn applied(sink: &mut dyn Sink, claimed: &Claimed, after: u64, epoch: u64, rows: &[(&str, i64)]) {
    let cursor = apply(sink, claimed, after, epoch, vec![batch(rows)]).await;
    assert_eq!(cursor.expect("apply").0, Epoch(epoch), "the new cursor is the permit's epoch");
}

async fn close(sink: &mut dyn Sink) {
    sink.close().await.expect("close");
}

async fn assert_rows<H: SinkHarness>(harness: &H, expected: &[(&str, i64)], when: &str) {
    let mut expected: Vec<Row> = expected.iter().map(|(id, n)| Row { id: (*id).to_owned(), n: *n }).collect();
    let mut found = harness.visible_rows().await;
    expected.sort();
    found.sort();
    assert!(
        found == expected,
        "{when}: {} rows expected, {} found{}",
        expected.len(),
        found.len(),
        first_difference(&expected, &found)
    );
}

fn first_difference(expected: &[Row], found: &[Row]) -> String {
    let at =
        expected.iter().zip(found).position(|(left, right)| left != right).unwrap_or(expected.len().min(found.len()));
    format!("; first difference at {at}: expected {:?}, found {:?}", expected.get(at), found.get(at))
}

fn assert_fenced(result: Result<Cursor>, who: &str) {
    let kind = result.as_ref().err().map(Error::kind);
    assert_eq!(kind, Some(ErrorKind::Fenced), "{who} must be fenced, got {result:?}");
}
