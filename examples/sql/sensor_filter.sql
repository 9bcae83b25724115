-- A working day with sensor data, 1: filter while reading. Of 14 columns 6 are read, as EXPLAIN shows.
--
-- The data is that of examples/sensor_study.rs. Where sensor_hrv/ is:
--   mkdir -p out && brimful sql -f sensor_filter.sql --memory-budget 512MiB

CREATE VIEW device_days AS
SELECT device_id, CAST(ts_start AS DATE) AS date, count(*) AS segments,
       avg(heart_rate) AS mean_hr, avg(hrv_sdnn) AS mean_sdnn, sum(steps) AS steps
FROM 'sensor_hrv/*.parquet'
WHERE missingness_score <= 0.35 AND ts_start >= '2024-01-15'
GROUP BY device_id, CAST(ts_start AS DATE);

EXPLAIN SELECT * FROM device_days ORDER BY device_id, date;

-- The rows of a temporary table are computed once, and written twice.
CREATE TEMP TABLE report AS SELECT * FROM device_days;
COPY (SELECT * FROM report ORDER BY device_id, date) TO 'out/device_days.parquet';
COPY (SELECT * FROM report ORDER BY device_id, date) TO 'out/device_days.csv';
