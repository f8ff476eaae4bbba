-- State alone: one integer key, five aggregates, one window that does not end. Records are made up on the spot and rows go nowhere.
SET 'pipeline.name' = 'bench-state';
CREATE TABLE numbers (
    k           BIGINT,
    v           BIGINT,
    `timestamp` TIMESTAMP_LTZ(3),
    WATERMARK FOR `timestamp` AS `timestamp`
) WITH (
    'connector' = 'datagen',
    'template' = 'columns',
    'number-of-rows' = '${ROWS}',
    'fields.k.min' = '0',
    'fields.k.max' = '${LAST_KEY}',
    'fields.v.min' = '0',
    'fields.v.max' = '1000000'
);
CREATE TABLE results (
    window_start TIMESTAMP_LTZ(3), k BIGINT, n BIGINT, total BIGINT, least BIGINT, most BIGINT, mean BIGINT
) WITH ('connector' = 'blackhole');
INSERT INTO results
SELECT window_start, k, COUNT(*), SUM(v), MIN(v), MAX(v), AVG(v)
FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(`timestamp`), INTERVAL '365' DAY))
GROUP BY window_start, window_end, k;
