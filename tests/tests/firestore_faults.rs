//! Rows of the fault matrix (`RELIABILITY.md`) that the Firestore sink answers for: calls that are refused before and after they
//! were done. The fence document decides.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_core::conformance::sink::{apply, batch, claim, spec};
use aqueduct_core::{Connector, Cursor, ErrorKind, Hurdle, Sink};
use aqueduct_firestore::FirestoreConnector;
use aqueduct_tests::services::grpc::{Code, Verdict, half};
use aqueduct_tests::services::{Firestore, GrpcFront, unique};
use std::time::{Duration, Instant};

/// Documents of an epoch; with seven in a commit an epoch takes three.
const DOCUMENTS: i64 = 20;

fn open_at(emulator: &Firestore, front: &GrpcFront, collection: &str) -> Box<dyn Sink> {
    let host = front.host();
    let options =
        [("project-id", emulator.project()), ("emulator-host", host.as_str()), ("sink.max-writes-per-commit", "7")];
    FirestoreConnector.sink(&spec(collection, &options, true)).unwrap()
}

/// Delivers an epoch as the engine does; every epoch writes the same documents. Returns how often it was tried again.
async fn deliver(sink: &mut dyn Sink, cursor: &mut u64, epoch: u64) -> u32 {
    let names: Vec<String> = (0..DOCUMENTS).map(|n| format!("d{n}")).collect();
    let rows: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), epoch as i64)).collect();
    let (begin, mut again) = (Instant::now(), 0);
    while *cursor < epoch {
        assert!(begin.elapsed() < Duration::from_secs(60), "epoch {epoch} never gets through");
        let Err(error) = apply(sink, &claim(1), *cursor, epoch, vec![batch(&rows)]).await else {
            *cursor = epoch;
            return again;
        };
        assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
        again += 1;
        while let Err(error) = sink.open(&claim(1)).await.map(|Cursor(reached)| *cursor = reached.0) {
            assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
            assert!(begin.elapsed() < Duration::from_secs(60), "the sink never opens: {error}");
        }
    }
    again
}

fn assert_whole(emulator: &Firestore, collection: &str, epoch: u64) {
    let found = emulator.list_documents(collection);
    assert_eq!(found.len() as i64, DOCUMENTS);
    for (id, fields) in found {
        assert_eq!(fields["n"].as_u64(), Some(epoch), "document {id}");
    }
}

/// A judge for which the `nth` commit goes wrong.
fn nth_commit(nth: u64, verdict: Verdict) -> impl FnMut(&str, u64) -> Verdict + Send + 'static {
    let mut seen = 0;
    move |path, _| {
        if !path.ends_with("/Commit") {
            return Verdict::Pass;
        }
        seen += 1;
        if seen == nth { verdict } else { Verdict::Pass }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_37_the_fence_tells_what_became_of_a_refused_commit() {
    let Some(emulator) = Firestore::try_shared() else { return };
    let front = GrpcFront::start(emulator.host());
    let collection = unique("refused");
    let mut sink = open_at(emulator, &front, &collection);
    let (mut cursor, mut epoch) = (sink.open(&claim(1)).await.unwrap().0.0, 0);
    let codes = [Code::Aborted, Code::ResourceExhausted, Code::Unavailable];
    let before = codes.map(Verdict::Refuse);
    let after = codes.map(Verdict::RefuseAfter);
    for verdict in before.into_iter().chain(after).chain([Verdict::CutAfter]) {
        // The first, the middle and the last chunk of the epoch.
        for chunk in 1..=3 {
            epoch += 1;
            front.judge(nth_commit(chunk, verdict));
            let again = deliver(sink.as_mut(), &mut cursor, epoch).await;
            assert_eq!(again, 1, "{verdict:?} at chunk {chunk}");
            assert_whole(emulator, &collection, epoch);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_37_half_of_all_calls_refused_only_cost_time() {
    let Some(emulator) = Firestore::try_shared() else { return };
    let front = GrpcFront::start(emulator.host());
    let collection = unique("half-refused");
    let mut sink = open_at(emulator, &front, &collection);
    let mut cursor = sink.open(&claim(1)).await.unwrap().0.0;
    // Every kind of call, reading the fence too.
    front.judge(half);
    for epoch in 1..=20 {
        deliver(sink.as_mut(), &mut cursor, epoch).await;
        assert_whole(emulator, &collection, epoch);
    }
    assert!(front.struck() > 40, "{} calls were struck", front.struck());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_replaced_once_and_a_missing_right_is_named() {
    let Some(emulator) = Firestore::try_shared() else { return };
    let front = GrpcFront::start(emulator.host());
    let collection = unique("tokens");
    let mut sink = open_at(emulator, &front, &collection);
    let mut cursor = sink.open(&claim(1)).await.unwrap().0.0;
    // It ran out in the middle: the sink connects anew, which brings another one.
    front.judge(nth_commit(2, Verdict::Refuse(Code::Unauthenticated)));
    assert_eq!(deliver(sink.as_mut(), &mut cursor, 1).await, 1);
    assert_whole(emulator, &collection, 1);
    // The new one is refused too: that is for a person.
    front.judge(|_, _| Verdict::Refuse(Code::Unauthenticated));
    let row = || vec![batch(&[("d0", 2)])];
    let error = apply(sink.as_mut(), &claim(1), cursor, 2, row()).await.unwrap_err();
    assert_eq!((error.kind(), error.hurdle()), (ErrorKind::Retry, Some(Hurdle::Authenticate)), "{error}");
    let error = sink.open(&claim(1)).await.unwrap_err();
    assert_eq!((error.kind(), error.hurdle()), (ErrorKind::FixConfig, Some(Hurdle::Authenticate)), "{error}");
    assert!(error.message().contains("check the application default credentials of this machine"), "{error}");

    front.judge(
        |path, _| if path.ends_with("/Commit") { Verdict::Refuse(Code::PermissionDenied) } else { Verdict::Pass },
    );
    let job = aqueduct_core::JobName::new("suite").unwrap();
    let looked = sink.look(&job, aqueduct_core::ShardId(0)).await.unwrap_err();
    for error in [looked, sink.open(&claim(1)).await.unwrap_err()] {
        assert_eq!((error.kind(), error.hurdle()), (ErrorKind::FixConfig, Some(Hurdle::Permit)), "{error}");
        assert!(error.message().contains("the service account needs the role datastore.user"), "{error}");
    }
    front.heal();
    assert!(sink.look(&job, aqueduct_core::ShardId(0)).await.unwrap().is_empty());
}
