-- W0: consume and drop. Only the position is kept.
SET 'pipeline.name' = 'bench-w0';
CREATE TABLE images (
    `partition` INT METADATA FROM 'partition'
) WITH (
    'connector' = 'kafka',
    'topic' = '${TOPIC}',
    'properties.bootstrap.servers' = '${BROKERS}',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'latest-offset',
    'format' = 'json'
);
CREATE TABLE results (`partition` INT) WITH ('connector' = 'blackhole');
INSERT INTO results SELECT `partition` FROM images;
