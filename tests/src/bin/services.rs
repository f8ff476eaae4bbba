//! Starts every service once, writes their addresses into a file (the first argument), and ends them when it ends.
//!
//! `./dev test`, `./dev stack` and `./dev services` use it. It ends on SIGINT, SIGTERM, or when its parent is gone.

use aqueduct_tests::services::{Addresses, Firestore, Gcs, Kafka, Listener, Postgres, S3};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_signal: i32) {
    STOP.store(true, Ordering::Relaxed);
}

fn main() {
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let file = file.unwrap_or_else(|| panic!("usage: services FILE   (the addresses are written into FILE)"));
    // SAFETY: the handler only stores a flag; the death signal is a plain system call.
    unsafe {
        let handler = stop as extern "C" fn(i32) as libc::sighandler_t;
        libc::signal(libc::SIGTERM, handler);
        // A shell starts background programs with SIGINT ignored: then Ctrl-C is for the program in front, which may still
        // need the services while it ends.
        if libc::signal(libc::SIGINT, handler) == libc::SIG_IGN {
            libc::signal(libc::SIGINT, libc::SIG_IGN);
        }
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
    }
    // The slow ones start side by side; they are Java programs.
    let kafka = std::thread::spawn(Kafka::start);
    let firestore = std::thread::spawn(Firestore::try_start);
    let (postgres, gcs, s3) = (Postgres::start(), Gcs::start(), S3::try_start());
    let (kafka, firestore) = (kafka.join(), firestore.join());
    let (Ok(kafka), Ok(firestore)) = (kafka, firestore) else { std::process::exit(1) };
    let addresses = Addresses {
        kafka: kafka.address().clone(),
        postgres: postgres.address().clone(),
        firestore: firestore.as_ref().map(|emulator| emulator.address().clone()),
        gcs: gcs.address().clone(),
        s3: s3.as_ref().map(|server| server.address().clone()),
    };
    write_whole(&file, &serde_json::to_vec_pretty(&addresses).expect("plain data"));
    describe(&addresses, &kafka, &postgres);
    while !STOP.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = std::fs::remove_file(&file);
}

/// A reader sees all of it or nothing.
fn write_whole(file: &Path, contents: &[u8]) {
    let draft = file.with_extension("draft");
    let written = std::fs::write(&draft, contents).and_then(|()| std::fs::rename(&draft, file));
    written.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
}

fn describe(addresses: &Addresses, kafka: &Kafka, postgres: &Postgres) {
    let mut out = std::io::stdout().lock();
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(out, "  {name:<10} {text}");
    };
    line("kafka", &format!("{} (plain)", kafka.bootstrap(Listener::Plain)));
    line("", &format!("{} (TLS, client certificates)", kafka.bootstrap(Listener::Ssl)));
    line("", &format!("{} (TLS, SCRAM-SHA-512, user {})", kafka.bootstrap(Listener::SaslSsl), kafka.user()));
    line("postgres", &format!("{} (user {})", postgres.url("postgres"), postgres.user()));
    line("firestore", addresses.firestore.as_ref().map_or("SKIPPED", |address| address.host.as_str()));
    line("gcs", &addresses.gcs.endpoint);
    line("s3", addresses.s3.as_ref().map_or("SKIPPED", |address| address.endpoint.as_str()));
}
