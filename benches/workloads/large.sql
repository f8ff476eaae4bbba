-- More keys than memory holds: one integer key, five aggregates, one window; every key comes once in each round over all of them.
SET 'pipeline.name' = 'bench-large';
CREATE TABLE numbers (
    v           BIGINT,
    `timestamp` TIMESTAMP_LTZ(3),
    WATERMARK FOR `timestamp` AS `timestamp`
) WITH (
    'connector' = 'datagen',
    'template' = 'columns',
    'number-of-rows' = '${ROWS}',
    'fields.v.kind' = 'sequence'
);
CREATE TABLE results (
    k BIGINT, n BIGINT, total BIGINT, least BIGINT, most BIGINT, mean BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'results', 'format' = 'parquet');
INSERT INTO results
SELECT MOD(v, ${KEYS}), COUNT(*), SUM(v), MIN(v), MAX(v), AVG(v)
FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(`timestamp`), INTERVAL '365' DAY))
GROUP BY window_start, window_end, MOD(v, ${KEYS});
