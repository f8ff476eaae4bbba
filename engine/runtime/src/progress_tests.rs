//! The shard's watermark from what the threads have published.

use super::shard_watermark;
use aqueduct_core::{EventTime, Watermark};

#[test]
fn a_split_that_no_thread_has_taken_up_holds_everything_back() {
    let at = |ms| Watermark::Active(EventTime(ms));
    assert_eq!(shard_watermark(2, [at(5), at(9)].into_iter()), EventTime(5));
    assert_eq!(shard_watermark(2, [at(5)].into_iter()), EventTime::MIN, "the other thread has not begun");
    assert_eq!(shard_watermark(2, [Watermark::Ended].into_iter()), EventTime::MIN);
    assert_eq!(shard_watermark(1, [Watermark::Ended].into_iter()), EventTime::MAX);
}
