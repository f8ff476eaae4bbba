//! One job, and every service of it down in turn: the storage, Postgres, Firestore, the broker; replies cut off at each sink's
//! commit; at the end everything at once. The job must not end, its memory must stay bounded, and every sink must hold
//! exactly what plain code computes.
//!
//! `AQUEDUCT_OUTAGE_SECONDS` is how long each one lasts (3; the long form of `./dev faults` is 120). How long the job needs to
//! catch up afterwards is printed, and bounded only generously: the machine may be busy.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use aqueduct_tests::main_job::{MainJob, Start, record_count};
use aqueduct_tests::services::daemon::Daemon;
use aqueduct_tests::services::gcs::{Fault, FaultKind};
use aqueduct_tests::services::grpc::{Code, Verdict, half};
use aqueduct_tests::services::proxy::{Act, Rule};
use aqueduct_tests::stage::{Fronts, Stage};
use aqueduct_tests::watch::{self, Watch, number, sink};
use std::time::{Duration, Instant};

/// Resident memory of the job at its worst, MiB. The job's budget by its defaults is far less than twice this.
const MOST_MEMORY: u64 = 768;
/// How long the job may take to catch up. It takes seconds; a busy machine may take longer.
const CATCH_UP: Duration = Duration::from_secs(90);

/// Outages as long as this are of the long form, which does everything more often.
const LONG: Duration = Duration::from_secs(10);

fn outage() -> Duration {
    let given = std::env::var("AQUEDUCT_OUTAGE_SECONDS").ok();
    Duration::from_secs(given.map_or(3, |text| text.parse().expect("AQUEDUCT_OUTAGE_SECONDS is a number")))
}

/// The job under test with its services.
struct Scene {
    job: MainJob,
    run: Daemon,
    watch: Watch,
    seconds: Duration,
    report: Vec<String>,
}

impl Scene {
    fn stage(&self) -> &Stage {
        &self.job.stage
    }

    fn fronts(&self) -> &Fronts {
        self.job.stage.fronts()
    }

    fn long(&self) -> bool {
        self.seconds >= LONG
    }

    /// The outage lasts, and the job lives.
    fn lasts(&mut self, what: &str) {
        let ended = self.run.wait(self.seconds);
        assert!(ended.is_none(), "{what}: the job ended ({ended:?}):\n{}", self.run.log_tail());
    }

    fn status(&self) -> serde_json::Value {
        self.watch.status().expect("a living job answers")
    }

    /// `fault` breaks something, waits and mends it.
    fn survives(&mut self, what: &str, fault: impl FnOnce(&mut Scene)) {
        watch::forget_peak(self.run.pid());
        let (begin, before) = (Instant::now(), self.status());
        fault(self);
        let recovery = self.watch.until_recovered(&mut self.run, CATCH_UP, what);
        let (after, peak) = (self.status(), watch::peak_mib(self.run.pid()));
        let (epoch, records) = (number(&after["checkpoint"], "epoch"), number(&after, "run_records"));
        let line = format!(
            "{what:<52} {:>4.0} s, caught up {:>4.1} s after it, peak {peak:>3} MiB, {} epochs and {} records meanwhile",
            begin.elapsed().as_secs_f64(),
            recovery.as_secs_f64(),
            epoch - number(&before["checkpoint"], "epoch"),
            records - number(&before, "run_records"),
        );
        eprintln!("{line}");
        self.report.push(line);
        assert!(peak < MOST_MEMORY, "{what}: {peak} MiB are not bounded memory");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_outlives_every_outage_and_stays_exact() {
    let seconds = outage();
    let stage = tokio::task::spawn_blocking(Stage::start).await.unwrap();
    // Slow enough to be still reading at the end; then the limit is lifted.
    let lasting = 12 * (seconds.as_secs() + 20);
    let job = MainJob::prepare_slow_on(stage, "outages", record_count(), 11, lasting).await;
    let mut start = Start { checkpoints: Some(job.stage.gcs.url("checkpoints")), interval_ms: 200, ..Start::default() };
    let watch = Watch::on(&mut start);
    let run = job.start(&start);
    let mut scene = Scene { job, run, watch, seconds, report: Vec::new() };
    scene.watch.until_sealing(&mut scene.run);
    storage(&mut scene);
    databases(&mut scene);
    broker(&mut scene);
    cut_replies(&mut scene);
    everything(&mut scene);
    scene.job.read_freely();
    let status = scene.run.wait(Duration::from_secs(300));
    assert_eq!(status.and_then(|status| status.code()), Some(0), "the job fails:\n{}", scene.run.log_tail());
    scene.job.verify(&start).await;
}

fn storage(scene: &mut Scene) {
    scene.survives("storage (checkpoints, bucket) refuses", |scene| {
        scene.fronts().gcs.refuse();
        scene.lasts("storage refuses");
        scene.fronts().heal();
    });
    scene.survives("storage swallows everything", |scene| {
        scene.fronts().gcs.swallow();
        scene.lasts("storage swallows");
        scene.fronts().heal();
    });
}

fn databases(scene: &mut Scene) {
    scene.survives("Postgres is killed and stays down", |scene| {
        let before = number(sink(&scene.status(), "results_topic"), "cursor");
        scene.stage().postgres.kill();
        scene.lasts("Postgres is down");
        let status = scene.status();
        let others = number(sink(&status, "results_topic"), "cursor");
        assert!(others > before || number(sink(&status, "analytics_metrics"), "backlog_epochs") == 0, "others go on");
        scene.stage().postgres.restart();
    });
    scene.survives("Postgres: three immediate shutdowns during commits", |scene| {
        for _ in 0..3 {
            scene.stage().postgres.stop_immediately();
            scene.stage().postgres.restart();
            let (watch, run) = (&scene.watch, &mut scene.run);
            watch.until(run, CATCH_UP, "Postgres is back", |status| {
                sink(status, "analytics_metrics")["error"].is_null()
            });
        }
    });
    if scene.stage().firestore.is_none() {
        return;
    }
    scene.survives("Firestore refuses half of its calls, half of them late", |scene| {
        let front = scene.fronts().firestore.as_ref().unwrap();
        front.judge(half);
        scene.lasts("Firestore refuses half");
        scene.fronts().heal();
    });
}

fn broker(scene: &mut Scene) {
    scene.survives("the broker is stopped and started again", |scene| {
        scene.stage().kafka.stop();
        scene.lasts("the broker is down");
        scene.stage().kafka.restart();
    });
    scene.survives("the broker is killed during commits", |scene| {
        for _ in 0..if scene.long() { 2 } else { 1 } {
            scene.stage().kafka.kill();
            scene.stage().kafka.restart();
            let before = number(&scene.status()["checkpoint"], "epoch");
            let (watch, run) = (&scene.watch, &mut scene.run);
            watch.until(run, CATCH_UP, "an epoch", |status| number(&status["checkpoint"], "epoch") > before);
        }
    });
    scene.survives("the network to the broker swallows everything", |scene| {
        scene.fronts().kafka.swallow();
        scene.lasts("the broker is silent");
        scene.fronts().heal();
    });
}

/// At each sink's commit: the request is done and its reply never comes, or the request itself is lost.
fn cut_replies(scene: &mut Scene) {
    scene.survives("replies to commits are cut off, requests are lost", |scene| {
        let (stage, fronts) = (&scene.job.stage, scene.job.stage.fronts());
        for act in [Act::CutReply, Act::DropRequest] {
            // Whole, as it is sent: BEGIN says READ COMMITTED.
            fronts.postgres.add(Rule::on(act.clone(), b"COMMIT\0").times(2));
            for request in [PRODUCE, TXN_OFFSET_COMMIT, END_TXN] {
                fronts.kafka.add(Rule::kafka(act.clone(), request));
            }
        }
        for kind in [FaultKind::DropReply, FaultKind::DropRequest, FaultKind::FailAfter(503)] {
            stage.gcs.inject(Fault::new(kind, "PUT", "/analytics/", 2));
            stage.gcs.inject(Fault::new(kind, "PUT", "/log/", 2));
            stage.gcs.inject(Fault::new(kind, "PUT", "/blobs/", 2));
        }
        if let Some(front) = &fronts.firestore {
            front.judge(
                |path, call| if path.ends_with("Commit") && call % 3 == 0 { Verdict::CutAfter } else { Verdict::Pass },
            );
        }
        let (watch, run) = (&scene.watch, &mut scene.run);
        watch.until(run, CATCH_UP * 2, "all faults have struck", |_| {
            let firestore = fronts.firestore.as_ref().is_none_or(|front| front.struck() > 3);
            fronts.postgres.struck() >= 4 && fronts.kafka.struck() >= 6 && firestore
        });
        stage.gcs.heal();
        fronts.heal();
    });
}

const PRODUCE: u16 = 0;
const END_TXN: u16 = 26;
const TXN_OFFSET_COMMIT: u16 = 28;

fn everything(scene: &mut Scene) {
    scene.survives("everything is out of reach at once", |scene| {
        scene.fronts().proxies().iter().for_each(|proxy| proxy.refuse());
        scene.fronts().firestore.iter().for_each(|front| front.judge(|_, _| Verdict::Refuse(Code::Unavailable)));
        scene.lasts("everything is down");
        scene.fronts().heal();
    });
}
