-- A working day with sensor data, 2 and 3: nights joined with diaries and profiles, as a report, as a list, and segment by
-- segment in one order; and a sample of all segments.
--
-- The data is that of examples/sensor_study.rs. Where sensor_hrv/ is:
--   mkdir -p out && brimful sql -f sleep_report.sql --memory-budget 512MiB

CREATE VIEW night_time AS
SELECT concat('USER-', split_part(device_id, '-', 2)) AS user_id, CAST(ts_start AS DATE) AS date,
       ts_start, heart_rate, hrv_rmssd
FROM 'sensor_hrv/*.parquet'
WHERE hour(ts_start) >= 22 OR hour(ts_start) <= 6;

CREATE TEMP TABLE nights AS
SELECT n.user_id, n.date, night_hr, night_rmssd, sleep_efficiency, sleep_duration, occupation, gender
FROM (SELECT user_id, date, avg(heart_rate) AS night_hr, avg(hrv_rmssd) AS night_rmssd
      FROM night_time GROUP BY user_id, date) AS n
JOIN 'sleep_diary.parquet' AS d ON n.user_id = d.user_id AND n.date = d.date
LEFT JOIN 'user_profile.parquet' AS p ON n.user_id = p.user_id;

CREATE TEMP TABLE report AS
SELECT occupation, gender, count(*) AS nights, avg(night_hr) AS mean_night_hr,
       avg(sleep_efficiency) AS mean_efficiency, corr(night_rmssd, sleep_efficiency) AS r,
       percentile_cont(0.9) WITHIN GROUP (ORDER BY sleep_duration) AS long_sleep
FROM nights
GROUP BY occupation, gender;

COPY (SELECT * FROM report ORDER BY occupation NULLS FIRST, gender NULLS FIRST) TO 'out/sleep_report.parquet';
COPY (SELECT * FROM report ORDER BY occupation NULLS FIRST, gender NULLS FIRST) TO 'out/sleep_report.csv';
COPY (SELECT * FROM nights ORDER BY night_hr, user_id, date) TO 'out/nights.parquet';

-- All night segments in one order.
COPY (SELECT n.user_id, n.ts_start, n.heart_rate, n.hrv_rmssd, d.sleep_efficiency, p.occupation
      FROM night_time AS n
      JOIN 'sleep_diary.parquet' AS d ON n.user_id = d.user_id AND n.date = d.date
      LEFT JOIN 'user_profile.parquet' AS p ON n.user_id = p.user_id
      ORDER BY n.hrv_rmssd DESC, n.user_id, n.ts_start, n.heart_rate)
TO 'out/night_segments.parquet';

-- 2,000 segments at random, in the order of the files. A seed means the same rows here, in a pipeline and for `sample`.
COPY (SELECT device_id, ts_start, heart_rate, hrv_rmssd
      FROM (SELECT *, row_number() OVER () - 1 AS place FROM 'sensor_hrv/*.parquet' ORDER BY sample_key(place, 42) LIMIT 2000)
      ORDER BY place)
TO 'out/segments_sample.csv';
