//! Rows 44 and 45: long, lossy ways to the services, and networks that are cut for one of them only.

use super::*;
use aqueduct_tests::host::Network;
use aqueduct_tests::services::Gcs;
use aqueduct_tests::services::daemon::free_port;
use aqueduct_tests::services::proxy::Weather;
use aqueduct_tests::services::{Kafka, Listener, Proxy};
use aqueduct_tests::watch::{Watch, number};
use tokio::sync::Mutex;

/// There is one port for a proxy before the shared broker.
static PROXY: Mutex<()> = Mutex::const_new(());

/// Every service behind a proxy: of ours, or inside a network.
struct Ways {
    kafka: Proxy,
    others: Vec<Proxy>,
    gcs: Proxy,
}

impl Ways {
    fn new(job: &MainJob, start: &mut Start, network: Option<&Network>) -> Ways {
        let proxy = |port: u16, upstream: &str| match network {
            None => Proxy::on(port, upstream),
            Some(network) => Proxy::inside(network, port, upstream),
        };
        let address = Kafka::shared().address();
        let kafka = proxy(address.proxy, &format!("127.0.0.1:{}", address.behind_proxy));
        let postgres = proxy(free_port(), &format!("127.0.0.1:{}", job.stage.postgres.port()));
        let gcs = proxy(free_port(), job.stage.gcs.endpoint().trim_start_matches("http://"));
        let mut variables = vec![
            ("KAFKA_BROKERS", Kafka::shared().bootstrap(Listener::Proxied)),
            ("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT".to_owned()),
            ("POSTGRES_URL", format!("postgres://127.0.0.1:{}/{}", postgres.port(), job.database())),
            ("POSTGRES_SSLMODE", "disable".to_owned()),
        ];
        let mut others = vec![postgres];
        if let Some(firestore) = &job.stage.firestore {
            let front = proxy(free_port(), firestore.host());
            variables.push(("FIRESTORE_EMULATOR", front.host()));
            others.push(front);
        }
        for (name, value) in variables {
            start.more.extend(["--set".to_owned(), format!("{name}={value}")]);
        }
        let env = Gcs::env_of(&format!("http://{}", gcs.host()));
        start.env.extend(env.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Ways { kafka, others, gcs }
    }

    fn all(&self) -> impl Iterator<Item = &Proxy> {
        self.others.iter().chain([&self.kafka, &self.gcs])
    }
}

#[tokio::test]
async fn row_44_a_long_way_to_every_service_only_costs_time() {
    let job = MainJob::prepare("row-44", 20_000, 50).await;
    let mut start = Start { checkpoints: Some(Gcs::shared().url("checkpoints")), ..Start::default() };
    let _alone = PROXY.lock().await;
    let ways = Ways::new(&job, &mut start, None);
    // There and back 200 ms, and a thin line.
    let weather =
        Weather { latency: Duration::from_millis(100), bytes_per_second: Some(2_000_000), ..Weather::default() };
    ways.all().for_each(|way| way.weather(weather));
    completes(&job, &start).await;
}

#[tokio::test]
async fn row_44_lost_packets_and_small_ones_only_cost_time() {
    let Some(network) = Network::try_new() else { return };
    let job = MainJob::prepare("row-44-loss", 20_000, 51).await;
    let mut start = Start { checkpoints: Some(Gcs::shared().url("checkpoints")), ..Start::default() };
    start.wrapper = network.wrapper();
    let _alone = PROXY.lock().await;
    let ways = Ways::new(&job, &mut start, Some(&network));
    ways.all().for_each(|way| way.weather(Weather { latency: Duration::from_millis(20), ..Weather::default() }));
    assert!(network.does("ip", &["link", "set", "lo", "mtu", "1300"]), "every loopback device takes an MTU");
    if !network.loses(5) {
        aqueduct_tests::services::skipped("iptables with random loss", "apt-get install iptables");
    }
    completes(&job, &start).await;
}

/// The first owner loses one service from sight while a second one, who sees all of them, takes over. When it sees again, it
/// must have shown nothing, and must know that it is not the owner.
async fn cut_in_half(name: &str, cut: impl Fn(&Ways) -> &Proxy) {
    let job = MainJob::prepare_slow(name, 20_000, 52, SLOW).await;
    let mut start = Start { checkpoints: Some(Gcs::shared().url("checkpoints")), interval_ms: 200, ..Start::default() };
    let direct = start.clone();
    let _alone = PROXY.lock().await;
    let ways = Ways::new(&job, &mut start, None);
    let watch = Watch::on(&mut start);
    let mut first = job.start(&start);
    watch.until_sealing(&mut first);
    cut(&ways).swallow();
    let mut second_start = direct.clone();
    let second_watch = Watch::on(&mut second_start);
    let mut second = job.start(&second_start);
    second_watch.until(&mut second, PATIENCE, "epochs of the second owner", |status| {
        number(&status["checkpoint"], "run_commits") > 3
    });
    ways.all().for_each(Proxy::heal);
    ends_with(&mut first, FENCED);
    finishes(&job, &mut second, &direct).await;
}

#[tokio::test]
async fn row_45_an_owner_that_sees_the_store_and_not_kafka_steps_back() {
    cut_in_half("row-45-kafka", |ways| &ways.kafka).await;
}

#[tokio::test]
async fn row_45_an_owner_that_sees_kafka_and_not_the_store_shows_nothing() {
    cut_in_half("row-45-store", |ways| &ways.gcs).await;
}

#[tokio::test]
async fn row_21_owners_that_take_over_from_each_other_all_the_time_still_get_on() {
    let job = MainJob::prepare_slow("row-21", 20_000, 53, SLOW).await;
    let start = Start { interval_ms: 100, ..Start::default() };
    let (mut owners, mut epochs): (Vec<Daemon>, Vec<u64>) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let mut start = start.clone();
        let watch = Watch::on(&mut start);
        let mut run = job.start(&start);
        watch.until(&mut run, PATIENCE, "an epoch of the new owner", |status| {
            number(&status["checkpoint"], "run_commits") > 0
        });
        epochs.push(number(&watch.status().unwrap()["checkpoint"], "epoch"));
        owners.push(run);
    }
    assert!(epochs.is_sorted() && epochs.first() < epochs.last(), "each owner gets on: {epochs:?}");
    let mut last = owners.pop().unwrap();
    for mut owner in owners {
        ends_with(&mut owner, FENCED);
    }
    finishes(&job, &mut last, &start).await;
}
