CREATE TABLE images (
  size_label STRING, size_bytes BIGINT, `timestamp` TIMESTAMP_LTZ(3),
  WATERMARK FOR `timestamp` AS `timestamp` - INTERVAL '5' SECOND
) WITH ('connector' = 'datagen', 'template' = 'product-images', 'rows-per-second' = '1000', 'time-step' = '10 ms');
CREATE TABLE results (
  window_start TIMESTAMP_LTZ(3), size_label STRING, event_count BIGINT, total_bytes BIGINT,
  PRIMARY KEY (window_start, size_label) NOT ENFORCED
) WITH ('connector' = 'filesystem', 'path' = 'results', 'format' = 'json');
INSERT INTO results
SELECT window_start, size_label, COUNT(*), SUM(size_bytes)
FROM TABLE(TUMBLE(TABLE images, DESCRIPTOR(`timestamp`), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, size_label;
