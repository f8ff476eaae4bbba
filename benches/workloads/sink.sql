-- W6: one sink alone, which OPTIONS says, such as --set OPTIONS="'connector' = 'blackhole'". Rows are made up on the spot; what making them costs is
-- what they cost on their way to nowhere.
SET 'pipeline.name' = 'bench-sink';
CREATE TABLE numbers (
    k           BIGINT NOT NULL,
    `timestamp` TIMESTAMP_LTZ(3) NOT NULL
) WITH (
    'connector' = 'datagen',
    'template' = 'columns',
    'number-of-rows' = '${ROWS}',
    'fields.k.kind' = 'sequence'
);
CREATE TABLE results (
    k     BIGINT NOT NULL,
    v     BIGINT NOT NULL,
    label STRING NOT NULL,
    at    TIMESTAMP_LTZ(3) NOT NULL,
    PRIMARY KEY (k) NOT ENFORCED
) WITH (${OPTIONS});
INSERT INTO results SELECT k, MOD(k * 7919, 1000003), CONCAT('label-', CAST(MOD(k, 1000) AS STRING)), `timestamp` FROM numbers;
