-- Tables and rights of jobs/image-metrics, once, by the owner of the database:
--
--   psql "postgres://owner@HOST/analytics" --set=ON_ERROR_STOP=1 --set=job=aqueduct --file=postgres.sql
--
-- `job` is the user that the job connects as (POSTGRES_USER); it must exist. It may then do what the job does, and no more. Run
-- again it changes nothing; where the old job's table is there already, it stays as it is.

BEGIN;

CREATE TABLE IF NOT EXISTS analytics_metrics (
    window_start timestamptz NOT NULL,
    size_label   text        NOT NULL,
    event_count  bigint,
    total_bytes  bigint,
    latest_event timestamptz,
    summary_json jsonb,
    PRIMARY KEY (window_start, size_label)
);

-- How far the sink of each job is: moved in the same transaction as the rows. Beside the table, in its schema.
CREATE TABLE IF NOT EXISTS aqueduct_cursor (
    job        text        NOT NULL,
    lineage    bigint      NOT NULL,
    shard      bigint      NOT NULL,
    sink       text        NOT NULL,
    epoch      bigint      NOT NULL,
    generation bigint      NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job, shard, sink, lineage)
);

GRANT SELECT, INSERT, UPDATE ON analytics_metrics, aqueduct_cursor TO :"job";

COMMIT;
