//! Judges the stand-in for Google's storage by `object_store`'s own suite, and its faults by what a client sees of them.
//!
//! Left out of the suite: `rename_and_copy` and `copy_if_not_exists`, because object_store 0.13.2's client inverts the
//! precondition of copies on GCS. The engine uses neither.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::services::Gcs;
use aqueduct_tests::services::gcs::{Fault, FaultKind};
use object_store::integration as suite;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig};

// The suite deletes everything that it finds: each law gets a bucket of its own.
macro_rules! law {
    ($name:ident, $store:ident => $call:expr) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let gcs = Gcs::shared();
            let $store = gcs.store_of(&aqueduct_tests::services::unique(concat!("suite-", stringify!($name))));
            $call.await;
        }
    };
}

law!(put_get_delete_list, store => suite::put_get_delete_list(&store));
law!(list_with_offset_exclusivity, store => suite::list_with_offset_exclusivity(&store));
law!(list_uses_directories_correctly, store => suite::list_uses_directories_correctly(&store));
law!(list_with_delimiter, store => suite::list_with_delimiter(&store));
law!(list_paginated, store => suite::list_paginated(&store, &store));
law!(get_opts, store => suite::get_opts(&store));
law!(put_opts, store => suite::put_opts(&store, true));
law!(put_get_attributes, store => suite::put_get_attributes(&store));
law!(stream_get, store => suite::stream_get(&store));
law!(multipart, store => suite::multipart(&store, &store));
law!(multipart_race_condition, store => suite::multipart_race_condition(&store, true));
law!(multipart_out_of_order, store => suite::multipart_out_of_order(&store));

fn create() -> PutOptions {
    PutMode::Create.into()
}

fn payload(text: &'static str) -> PutPayload {
    PutPayload::from_static(text.as_bytes())
}

fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..aqueduct_tests::services::gcs::quick_retries() }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_applied_when_a_fault_strikes_before() {
    let gcs = Gcs::start();
    let store = gcs.store_with("fault-before", no_retries());
    let path = Path::from("a/b");
    for kind in [FaultKind::FailBefore(503), FaultKind::FailBefore(403), FaultKind::DropRequest] {
        gcs.inject(Fault::new(kind, "PUT", "a/b", 1));
        store.put_opts(&path, payload("x"), create()).await.unwrap_err();
        assert!(matches!(store.head(&path).await, Err(object_store::Error::NotFound { .. })), "{kind:?}");
    }
    store.put_opts(&path, payload("x"), create()).await.unwrap();
}

use object_store::ObjectStore;

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_applied() {
    let gcs = Gcs::start();
    let store = gcs.store_with("fault-after", no_retries());
    for (number, kind) in [FaultKind::FailAfter(503), FaultKind::DropReply].into_iter().enumerate() {
        let path = Path::from(format!("slot/{number}"));
        gcs.inject(Fault::new(kind, "PUT", "slot/", 1));
        store.put_opts(&path, payload("mine"), create()).await.unwrap_err();
        let stored = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(stored.as_ref(), b"mine", "{kind:?}");
    }
    // The trap that the claim log reads back for: the client repeats its own winning write and is told that it lost.
    let store = gcs.store_of("fault-after");
    gcs.inject(Fault::new(FaultKind::FailAfter(503), "PUT", "slot/", 1));
    let told = store.put_opts(&Path::from("slot/retried"), payload("mine"), create()).await;
    assert!(matches!(told, Err(object_store::Error::AlreadyExists { .. })), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_pass_over_what_they_are_not_meant_for() {
    let gcs = Gcs::start();
    let store = gcs.store_with("fault-scope", no_retries());
    gcs.inject(Fault { skip: 1, ..Fault::new(FaultKind::FailBefore(503), "PUT", "log/", 1) });
    store.put(&Path::from("blobs/1"), payload("x")).await.unwrap();
    store.put(&Path::from("log/1"), payload("x")).await.unwrap();
    store.put(&Path::from("log/2"), payload("x")).await.unwrap_err();
    store.put(&Path::from("log/3"), payload("x")).await.unwrap();
    gcs.inject(Fault::new(FaultKind::FailBefore(503), "", "", u32::MAX));
    store.put(&Path::from("log/4"), payload("x")).await.unwrap_err();
    gcs.heal();
    store.put(&Path::from("log/4"), payload("x")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_write_loses_against_a_quick_one() {
    let gcs = Gcs::start();
    let (slow, quick) = (gcs.store_with("delay", no_retries()), gcs.store_with("delay", no_retries()));
    let path = Path::from("slot");
    gcs.inject(Fault::new(FaultKind::Delay(300), "PUT", "slot", 1));
    let first = tokio::spawn({
        let path = path.clone();
        async move { slow.put_opts(&path, payload("slow"), create()).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    quick.put_opts(&path, payload("quick"), create()).await.unwrap();
    let told = first.await.unwrap();
    assert!(matches!(told, Err(object_store::Error::AlreadyExists { .. })), "{told:?}");
    assert_eq!(quick.get(&path).await.unwrap().bytes().await.unwrap().as_ref(), b"quick");
}

#[tokio::test(flavor = "multi_thread")]
async fn some_buckets_are_missing_or_closed() {
    let gcs = Gcs::shared();
    let path = Path::from("x");
    let missing = gcs.store_of("missing-bucket").put(&path, payload("x")).await.unwrap_err().to_string();
    assert!(missing.contains("404") || missing.contains("not found"), "{missing}");
    let forbidden = gcs.store_of("forbidden-bucket").put(&path, payload("x")).await.unwrap_err();
    assert!(matches!(forbidden, object_store::Error::PermissionDenied { .. }), "{forbidden}");
}
