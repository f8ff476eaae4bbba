-- W0: consume and drop. Nothing of a record is read but its position, and no row is left.
SET 'pipeline.name' = 'bench-w0';
CREATE TABLE images (
    `value`     BYTES,
    `partition` INT METADATA FROM 'partition'
) WITH (
    'connector' = 'kafka',
    'topic' = '${TOPIC}',
    'properties.bootstrap.servers' = '${BROKERS}',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset',
    'format' = 'raw'
);
CREATE TABLE results (`partition` INT) WITH ('connector' = 'blackhole');
INSERT INTO results SELECT `partition` FROM images WHERE `partition` < 0;
