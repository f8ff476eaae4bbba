//! The broker's settings: small, quick to start, quick to come back after SIGKILL, and never dropping old records.

use super::KafkaAddress;
use std::path::{Path, PathBuf};

/// Writes `server.properties`, the PEM stores and the log settings; returns the path of the first.
pub(super) fn write(dir: &Path, address: &KafkaAddress) -> PathBuf {
    let store = write_store(dir, &address.tls.server_cert, &address.tls.server_key);
    put(&dir.join("log4j2.properties"), LOGGING);
    let file = dir.join("server.properties");
    put(&file, &text(dir, address, &store));
    file
}

/// Writes the broker's certificate; returns the path.
pub(super) fn write_store(dir: &Path, certificate: &Path, key: &Path) -> PathBuf {
    let store = dir.join("server-store.pem");
    let read = |path: &Path| std::fs::read_to_string(path).expect("the certificate was just made");
    // Kafka wants key and certificate chain in one file.
    put(&store, &format!("{}{}", read(key), read(certificate)));
    store
}

fn put(path: &Path, contents: &str) {
    std::fs::write(path, contents).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

const LOGGING: &str = "appender.out.type = Console\nappender.out.name = OUT\nappender.out.layout.type = PatternLayout\n\
    appender.out.layout.pattern = %d %p %m (%c{1})%n\nrootLogger.level = WARN\nrootLogger.appenderRef.out.ref = OUT\n";

fn text(dir: &Path, address: &KafkaAddress, store: &Path) -> String {
    let KafkaAddress { plain, ssl, sasl_ssl, behind_proxy, proxy, controller, tls, .. } = address;
    let (data, store, ca) = (dir.join("data"), store.display(), tls.ca.display());
    let data = data.display();
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listeners=PLAINTEXT://127.0.0.1:{plain},SSL://127.0.0.1:{ssl},SASL_SSL://127.0.0.1:{sasl_ssl},\
         PROXIED://127.0.0.1:{behind_proxy},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SSL://localhost:{ssl},SASL_SSL://localhost:{sasl_ssl},\
         PROXIED://127.0.0.1:{proxy},CONTROLLER://127.0.0.1:{controller}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={data}\n\
         ssl.keystore.type=PEM\n\
         ssl.keystore.location={store}\n\
         ssl.truststore.type=PEM\n\
         ssl.truststore.location={ca}\n\
         listener.name.ssl.ssl.client.auth=required\n\
         listener.name.sasl_ssl.ssl.client.auth=none\n\
         sasl.enabled.mechanisms=SCRAM-SHA-512\n\
         listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         {FIXED}"
    )
}

/// What does not depend on ports. The session settings let a killed broker come back within seconds; without them it is
/// refused as a duplicate of itself. Limits of reading count over short windows, or they begin with a burst. Records of any age and future are kept, because tests choose their timestamps.
const FIXED: &str = "auto.create.topics.enable=false\n\
    default.replication.factor=1\n\
    min.insync.replicas=1\n\
    authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
    super.users=User:ANONYMOUS\n\
    allow.everyone.if.no.acl.found=true\n\
    offsets.topic.replication.factor=1\n\
    offsets.topic.num.partitions=4\n\
    transaction.state.log.replication.factor=1\n\
    transaction.state.log.min.isr=1\n\
    transaction.state.log.num.partitions=4\n\
    share.coordinator.state.topic.replication.factor=1\n\
    share.coordinator.state.topic.min.isr=1\n\
    group.initial.rebalance.delay.ms=0\n\
    broker.session.timeout.ms=3000\n\
    broker.heartbeat.interval.ms=300\n\
    log.retention.ms=-1\n\
    log.segment.bytes=268435456\n\
    log.message.timestamp.after.max.ms=9223372036854775807\n\
    message.max.bytes=12582912\n\
    quota.window.num=2\n\
    num.network.threads=2\n\
    num.io.threads=4\n\
    log.cleaner.dedupe.buffer.size=8388608\n\
    transaction.max.timeout.ms=900000\n";
