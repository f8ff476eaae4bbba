-- Payments per currency and minute: how many, their sum and mean, for requests and for successes.
--
-- Both streams go into one table with a column `stream`, so that the success ratio is a query:
--
--   SELECT window_start, currency,
--          SUM(CASE WHEN stream = 'succeeded' THEN payments END) * 1.0 / SUM(CASE WHEN stream = 'requested' THEN payments END)
--   FROM payment_metrics GROUP BY window_start, currency
--
-- Variables are those of image-metrics; the topics are REQUESTED_TOPIC and SUCCEEDED_TOPIC.

SET 'pipeline.name' = 'payments';
SET 'table.exec.source.idle-timeout' = '30 s';

CREATE TABLE payment_requested (
    payment_id  STRING,
    amount      DECIMAL(18, 2),
    currency    STRING,
    `timestamp` TIMESTAMP_LTZ(3),
    WATERMARK FOR `timestamp` AS `timestamp` - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka',
    'topic' = '${REQUESTED_TOPIC:-payment.requested}',
    'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
    'properties.security.protocol' = '${KAFKA_SECURITY_PROTOCOL:-SSL}',
    'properties.ssl.ca.location' = '${KAFKA_CA:-}',
    'properties.ssl.certificate.location' = '${KAFKA_CERT:-}',
    'properties.ssl.key.location' = '${KAFKA_KEY:-}',
    'properties.group.id' = '${KAFKA_GROUP:-payments}',
    'scan.startup.mode' = 'earliest-offset',
    'format' = 'json'
);

CREATE TABLE payment_succeeded (
    payment_id  STRING,
    amount      DECIMAL(18, 2),
    currency    STRING,
    `timestamp` TIMESTAMP_LTZ(3),
    WATERMARK FOR `timestamp` AS `timestamp` - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka',
    'topic' = '${SUCCEEDED_TOPIC:-payment.succeeded}',
    'properties.bootstrap.servers' = '${KAFKA_BROKERS}',
    'properties.security.protocol' = '${KAFKA_SECURITY_PROTOCOL:-SSL}',
    'properties.ssl.ca.location' = '${KAFKA_CA:-}',
    'properties.ssl.certificate.location' = '${KAFKA_CERT:-}',
    'properties.ssl.key.location' = '${KAFKA_KEY:-}',
    'properties.group.id' = '${KAFKA_GROUP:-payments}',
    'scan.startup.mode' = 'earliest-offset',
    'format' = 'json'
);

-- A payment without a currency is counted under 'unknown'; one without an amount is counted, and left out of sum and mean.
CREATE VIEW requested_per_minute AS
SELECT
    window_start,
    COALESCE(currency, 'unknown') AS currency,
    COUNT(*) AS payments,
    SUM(amount) AS total_amount,
    AVG(amount) AS mean_amount
FROM TABLE(TUMBLE(TABLE payment_requested, DESCRIPTOR(`timestamp`), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, COALESCE(currency, 'unknown');

CREATE VIEW succeeded_per_minute AS
SELECT
    window_start,
    COALESCE(currency, 'unknown') AS currency,
    COUNT(*) AS payments,
    SUM(amount) AS total_amount,
    AVG(amount) AS mean_amount
FROM TABLE(TUMBLE(TABLE payment_succeeded, DESCRIPTOR(`timestamp`), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, COALESCE(currency, 'unknown');

CREATE TABLE payment_metrics (
    window_start TIMESTAMP_LTZ(3) NOT NULL,
    currency     STRING NOT NULL,
    `stream`     STRING NOT NULL,
    payments     BIGINT,
    total_amount DECIMAL(38, 2),
    mean_amount  DECIMAL(38, 6),
    PRIMARY KEY (window_start, currency, `stream`) NOT ENFORCED
) WITH (
    'connector' = 'postgres',
    'url' = '${POSTGRES_URL}',
    'username' = '${POSTGRES_USER:-}',
    'password' = '${POSTGRES_PASSWORD:-}',
    'sslmode' = '${POSTGRES_SSLMODE:-}',
    'ssl-root-cert' = '${POSTGRES_CA:-}',
    'table-name' = 'payment_metrics',
    'sink.create-table' = 'true'
);

CREATE TABLE payment_files (
    window_start TIMESTAMP_LTZ(3) NOT NULL,
    currency     STRING NOT NULL,
    `stream`     STRING NOT NULL,
    payments     BIGINT,
    total_amount DECIMAL(38, 2),
    mean_amount  DECIMAL(38, 6),
    PRIMARY KEY (window_start, currency, `stream`) NOT ENFORCED
) WITH (
    'connector' = 'filesystem',
    'path' = '${RESULTS_DIR:-results-payments}',
    'format' = 'json'
);

EXECUTE STATEMENT SET
BEGIN
    INSERT INTO payment_metrics
    SELECT window_start, currency, 'requested', payments, total_amount, mean_amount FROM requested_per_minute;

    INSERT INTO payment_metrics
    SELECT window_start, currency, 'succeeded', payments, total_amount, mean_amount FROM succeeded_per_minute;

    INSERT INTO payment_files
    SELECT window_start, currency, 'requested', payments, total_amount, mean_amount FROM requested_per_minute;

    INSERT INTO payment_files
    SELECT window_start, currency, 'succeeded', payments, total_amount, mean_amount FROM succeeded_per_minute;
END;
