-- W1: decode 4 of 12 fields and count.
SET 'pipeline.name' = 'bench-w1';
CREATE TABLE images (
    product_id  BIGINT,
    format      STRING,
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
    window_start TIMESTAMP_LTZ(3), events BIGINT, products BIGINT, formats BIGINT, bytes BIGINT
) WITH ('connector' = 'filesystem', 'path' = '${RESULTS}', 'format' = 'json');
INSERT INTO results
SELECT window_start, COUNT(*), COUNT(product_id), COUNT(format), COUNT(size_bytes)
FROM TABLE(TUMBLE(TABLE images, DESCRIPTOR(`timestamp`), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end;
