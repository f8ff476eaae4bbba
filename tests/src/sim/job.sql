-- The job of the simulation: windows that share a view and go to every kind of sink, overlapping windows, a plain
-- filter, and the three system tables.
CREATE TABLE events (
    k  STRING NOT NULL,
    v  BIGINT NOT NULL,
    ts TIMESTAMP_LTZ(3) NOT NULL,
    WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH (
    'connector' = 'simulated-topic',
    'scan.watermark.idle-timeout' = '3 s'
);

CREATE VIEW totals AS
SELECT window_start, k, COUNT(*) AS n, SUM(v) AS total, MAX(ts) AS latest
FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k;

CREATE VIEW hops AS
SELECT window_start, k, COUNT(*) AS n, SUM(v) AS total, MAX(ts) AS latest
FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND))
GROUP BY window_start, window_end, k;

CREATE VIEW big AS SELECT k, v, ts FROM events WHERE v >= 500;

CREATE TABLE table_totals (
    window_start TIMESTAMP_LTZ(3) NOT NULL, k STRING NOT NULL, n BIGINT, total BIGINT, latest TIMESTAMP_LTZ(3),
    PRIMARY KEY (window_start, k) NOT ENFORCED
) WITH ('connector' = 'simulated-table');

CREATE TABLE bucket_totals (
    window_start TIMESTAMP_LTZ(3) NOT NULL, k STRING NOT NULL, n BIGINT, total BIGINT, latest TIMESTAMP_LTZ(3),
    PRIMARY KEY (window_start, k) NOT ENFORCED
) WITH ('connector' = 'filesystem', 'path' = 'gs://simulated/results', 'format' = 'json');

CREATE TABLE pg_totals (
    window_start TIMESTAMP_LTZ(3) NOT NULL, k STRING NOT NULL, n BIGINT, total BIGINT, latest TIMESTAMP_LTZ(3),
    PRIMARY KEY (window_start, k) NOT ENFORCED
) WITH ('connector' = 'postgres', 'url' = 'postgres://user@simulated/db', 'sink.buffer-flush.max-rows' = '3');

-- Without a key a row that is written twice is seen twice.
CREATE TABLE pg_big (k STRING, v BIGINT, ts TIMESTAMP_LTZ(3))
WITH ('connector' = 'postgres', 'url' = 'postgres://user@simulated/db');

CREATE TABLE documents (
    window_start TIMESTAMP_LTZ(3) NOT NULL, k STRING NOT NULL, n BIGINT, total BIGINT, latest TIMESTAMP_LTZ(3),
    PRIMARY KEY (window_start, k) NOT ENFORCED
) WITH ('connector' = 'firestore', 'project-id' = 'simulated', 'sink.max-writes-per-commit' = '4');

CREATE TABLE topic_totals (
    window_start TIMESTAMP_LTZ(3) NOT NULL, k STRING NOT NULL, n BIGINT, total BIGINT, latest TIMESTAMP_LTZ(3),
    PRIMARY KEY (window_start, k) NOT ENFORCED
) WITH (
    'connector' = 'kafka', 'topic' = 'results', 'properties.bootstrap.servers' = 'simulated:9092',
    'properties.transaction.timeout.ms' = '60000', 'format' = 'json'
);

CREATE TABLE hop_rows (
    window_start TIMESTAMP_LTZ(3) NOT NULL, k STRING NOT NULL, n BIGINT, total BIGINT, latest TIMESTAMP_LTZ(3)
) WITH ('connector' = 'simulated-table');

CREATE TABLE big_rows (k STRING, v BIGINT, ts TIMESTAMP_LTZ(3)) WITH ('connector' = 'simulated-table');

CREATE TABLE late_rows (query STRING, `partition` BIGINT, `offset` BIGINT) WITH ('connector' = 'simulated-table');

CREATE TABLE dead_rows (`partition` BIGINT, `offset` BIGINT, reason STRING) WITH ('connector' = 'simulated-table');

CREATE TABLE ledger_rows (
    query STRING, epoch BIGINT, rows_read BIGINT, rows_in_windows BIGINT, rows_filtered BIGINT, rows_late BIGINT,
    rows_dead BIGINT
) WITH ('connector' = 'simulated-table');

EXECUTE STATEMENT SET
BEGIN
    INSERT INTO table_totals SELECT * FROM totals;
    INSERT INTO bucket_totals SELECT * FROM totals;
    INSERT INTO pg_totals SELECT * FROM totals;
    INSERT INTO pg_big SELECT * FROM big;
    INSERT INTO documents SELECT * FROM totals;
    INSERT INTO topic_totals SELECT * FROM totals;
    INSERT INTO hop_rows SELECT * FROM hops;
    INSERT INTO big_rows SELECT * FROM big;
    INSERT INTO late_rows SELECT query, `partition`, `offset` FROM `aqueduct$late`;
    INSERT INTO dead_rows SELECT `partition`, `offset`, reason FROM `aqueduct$dead_letters`;
    INSERT INTO ledger_rows
    SELECT query, epoch, rows_read, rows_in_windows, rows_filtered, rows_late, rows_dead FROM `aqueduct$ledger`;
END;
