-- Image variants per size label and minute: how many, how many bytes, the latest one.
--
-- One view, computed once, goes to five tables. Each address is a variable; without any (see job.toml) the job reads
-- generated records and writes into a local folder, so that it runs on a bare machine.
--
--   KAFKA_BROKERS               host:port,...          KAFKA_TOPIC      product-images.processed
--   KAFKA_SECURITY_PROTOCOL     SSL                    KAFKA_GROUP      flink-analytics-group (shows progress only)
--   KAFKA_CA, KAFKA_CERT, KAFKA_KEY                    PEM files
--   POSTGRES_URL                postgres://host:port/db   POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_SSLMODE, POSTGRES_CA
--   FIRESTORE_PROJECT           FIRESTORE_COLLECTION   analytics_metrics    FIRESTORE_EMULATOR  host:port
--   RESULTS_BUCKET              gs://bucket/analytics  RESULTS_TOPIC    results    RESULTS_DIR  results
--   WINDOW_MINUTES              1
--
-- A password is best a file: POSTGRES_PASSWORD='${file:/run/secrets/postgres}'.

SET 'pipeline.name' = 'image-metrics';
SET 'table.exec.source.idle-timeout' = '30 s';

-- One JSON object per image variant; the fields that are not declared are not even decoded. A record without a usable
-- `timestamp` is a dead letter, never "now".
CREATE TABLE product_images (
    size_label  STRING,
    size_bytes  BIGINT,
    `timestamp` TIMESTAMP_LTZ(3),
    WATERMARK FOR `timestamp` AS `timestamp` - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka',
    'topic' = '${KAFKA_TOPIC:-product-images.processed}',
    'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
    'properties.security.protocol' = '${KAFKA_SECURITY_PROTOCOL:-SSL}',
    'properties.ssl.ca.location' = '${KAFKA_CA:-}',
    'properties.ssl.certificate.location' = '${KAFKA_CERT:-}',
    'properties.ssl.key.location' = '${KAFKA_KEY:-}',
    'properties.group.id' = '${KAFKA_GROUP:-flink-analytics-group}',
    'scan.startup.mode' = 'earliest-offset',
    'format' = 'json'
);

CREATE VIEW images AS
SELECT
    `timestamp`,
    COALESCE(size_label, 'default') AS size_label,
    COALESCE(size_bytes, 0) AS size_bytes
FROM product_images;

CREATE VIEW image_metrics AS
SELECT
    window_start,
    size_label,
    COUNT(*) AS event_count,
    SUM(size_bytes) AS total_bytes,
    MAX(`timestamp`) AS latest_event,
    CURRENT_TIMESTAMP AS processed_at
FROM TABLE(TUMBLE(TABLE images, DESCRIPTOR(`timestamp`), INTERVAL '${WINDOW_MINUTES:-1}' MINUTE))
GROUP BY window_start, window_end, size_label;

CREATE TABLE analytics_metrics (
    window_start TIMESTAMP_LTZ(3) NOT NULL,
    size_label   STRING NOT NULL,
    event_count  BIGINT,
    total_bytes  BIGINT,
    latest_event TIMESTAMP_LTZ(3),
    summary_json STRING,
    PRIMARY KEY (window_start, size_label) NOT ENFORCED
) WITH (
    'connector' = 'postgres',
    'url' = '${POSTGRES_URL}',
    'username' = '${POSTGRES_USER:-}',
    'password' = '${POSTGRES_PASSWORD:-}',
    'sslmode' = '${POSTGRES_SSLMODE:-}',
    'ssl-root-cert' = '${POSTGRES_CA:-}',
    'table-name' = 'analytics_metrics'
);

-- Document ids are {window_start}_{size_label}.
CREATE TABLE metrics_documents (
    window_start TIMESTAMP_LTZ(3) NOT NULL,
    size_label   STRING NOT NULL,
    event_count  BIGINT,
    total_bytes  BIGINT,
    latest_event TIMESTAMP_LTZ(3),
    processed_at TIMESTAMP_LTZ(3),
    PRIMARY KEY (window_start, size_label) NOT ENFORCED
) WITH (
    'connector' = 'firestore',
    'project-id' = '${FIRESTORE_PROJECT}',
    'collection' = '${FIRESTORE_COLLECTION:-analytics_metrics}',
    'emulator-host' = '${FIRESTORE_EMULATOR:-}'
);

-- Files per checkpoint, in folders dt=.../hour=... of window_start.
CREATE TABLE results_bucket (
    window_start TIMESTAMP_LTZ(3) NOT NULL,
    size_label   STRING NOT NULL,
    event_count  BIGINT,
    total_bytes  BIGINT,
    latest_event TIMESTAMP_LTZ(3),
    processed_at TIMESTAMP_LTZ(3),
    PRIMARY KEY (window_start, size_label) NOT ENFORCED
) WITH (
    'connector' = 'filesystem',
    'path' = '${RESULTS_BUCKET}',
    'format' = 'json'
);

CREATE TABLE results_topic (
    window_start TIMESTAMP_LTZ(3) NOT NULL,
    size_label   STRING NOT NULL,
    event_count  BIGINT,
    total_bytes  BIGINT,
    latest_event TIMESTAMP_LTZ(3),
    processed_at TIMESTAMP_LTZ(3),
    PRIMARY KEY (window_start, size_label) NOT ENFORCED
) WITH (
    'connector' = 'kafka',
    'topic' = '${RESULTS_TOPIC:-results}',
    'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
    'properties.security.protocol' = '${KAFKA_SECURITY_PROTOCOL:-SSL}',
    'properties.ssl.ca.location' = '${KAFKA_CA:-}',
    'properties.ssl.certificate.location' = '${KAFKA_CERT:-}',
    'properties.ssl.key.location' = '${KAFKA_KEY:-}',
    'sink.delivery-guarantee' = 'exactly-once',
    'format' = 'json'
);

CREATE TABLE results_folder (
    window_start TIMESTAMP_LTZ(3) NOT NULL,
    size_label   STRING NOT NULL,
    event_count  BIGINT,
    total_bytes  BIGINT,
    latest_event TIMESTAMP_LTZ(3),
    processed_at TIMESTAMP_LTZ(3),
    PRIMARY KEY (window_start, size_label) NOT ENFORCED
) WITH (
    'connector' = 'filesystem',
    'path' = '${RESULTS_DIR:-results}',
    'format' = 'parquet'
);

EXECUTE STATEMENT SET
BEGIN
    INSERT INTO analytics_metrics
    SELECT
        window_start, size_label, event_count, total_bytes, latest_event,
        JSON_OBJECT(
            KEY 'window_start' VALUE window_start,
            KEY 'size_label' VALUE size_label,
            KEY 'event_count' VALUE event_count,
            KEY 'total_bytes' VALUE total_bytes,
            KEY 'latest_event' VALUE latest_event,
            KEY 'processed_at' VALUE processed_at
        )
    FROM image_metrics;

    INSERT INTO metrics_documents SELECT * FROM image_metrics;
    INSERT INTO results_bucket SELECT * FROM image_metrics;
    INSERT INTO results_topic SELECT * FROM image_metrics;
    INSERT INTO results_folder SELECT * FROM image_metrics;
END;
