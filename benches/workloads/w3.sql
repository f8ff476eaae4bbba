-- W3: the main job's query with all five aggregates. Rows go to files, exactly once.
SET 'pipeline.name' = 'bench-w3';
CREATE TABLE images (
    size_label  STRING,
    size_bytes  BIGINT,
    `timestamp` TIMESTAMP_LTZ(3),
    WATERMARK FOR `timestamp` AS `timestamp` - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka',
    'topic' = '${TOPIC}',
    'properties.bootstrap.servers' = '${BROKERS}',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset',
    'format' = 'json'
);
CREATE TABLE results (
    window_start TIMESTAMP_LTZ(3),
    size_label   STRING,
    event_count  BIGINT,
    total_bytes  BIGINT,
    least_bytes  BIGINT,
    mean_bytes   BIGINT,
    latest_event TIMESTAMP_LTZ(3)
) WITH ('connector' = 'filesystem', 'path' = '${RESULTS}', 'format' = 'json');
INSERT INTO results
SELECT
    window_start, COALESCE(size_label, 'default'), COUNT(*), SUM(COALESCE(size_bytes, 0)), MIN(COALESCE(size_bytes, 0)),
    AVG(COALESCE(size_bytes, 0)), MAX(`timestamp`)
FROM TABLE(TUMBLE(TABLE images, DESCRIPTOR(`timestamp`), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, COALESCE(size_label, 'default');
