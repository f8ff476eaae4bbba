//! Holds `encode.rs` to what it says.

use super::*;
use arrow::array::{Date32Array, Time32MillisecondArray, TimestampMillisecondArray, TimestampNanosecondArray};
use std::sync::Arc;

#[test]
fn timestamps_keep_microseconds_and_know_their_range() {
    let millis: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![Some(-1), None, Some(1_767_225_600_250)]));
    let texts: Vec<Option<String>> = times(&millis).unwrap().into_iter().map(|t| t.map(|t| t.to_rfc3339())).collect();
    assert_eq!(texts[0].as_deref(), Some("1969-12-31T23:59:59.999+00:00"));
    assert_eq!((texts[1].as_deref(), texts[2].as_deref()), (None, Some("2026-01-01T00:00:00.250+00:00")));
    let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![-1_i64]));
    assert_eq!(times(&nanos).unwrap()[0].unwrap().timestamp_micros(), -1);
    let far: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![i64::MAX]));
    assert_eq!(times(&far).unwrap_err().kind(), aqueduct_core::ErrorKind::FixData);
}

#[test]
fn dates_and_times_of_day() {
    let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(20_454), None, Some(-1)]));
    let found = dates(&days).unwrap();
    assert_eq!(found[0].unwrap().to_string(), "2026-01-01");
    assert_eq!((found[1], found[2].unwrap().to_string().as_str()), (None, "1969-12-31"));
    assert!(dates(&(Arc::new(Date32Array::from(vec![i32::MAX])) as ArrayRef)).is_err());
    let times: ArrayRef = Arc::new(Time32MillisecondArray::from(vec![Some(3_661_005), None]));
    assert_eq!(times_of_day(&times).unwrap()[0].unwrap().to_string(), "01:01:01.005");
    assert!(times_of_day(&(Arc::new(Time32MillisecondArray::from(vec![-1])) as ArrayRef)).is_err());
}
