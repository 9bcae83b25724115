#!/bin/sh
# A working day with sensor data, 2 and 3: nights joined with diaries and profiles, a step at a time. Every step is a file
# that one can look at.
#
# The data is that of examples/sensor_study.rs. Where sensor_hrv/ is:
#   BRIMFUL_MEMORY_BUDGET=512MiB sh sleep_report.sh
set -eu
mkdir -p out

brimful schema sleep_diary.parquet
brimful head -n 3 sleep_diary.parquet --format table
brimful head -n 3 user_profile.parquet --format table

# What is measured at night, with the diary of the night and the profile of the user.
brimful sql -o out/night_rows.parquet "
  SELECT n.user_id, n.date, ts_start, heart_rate, hrv_rmssd, sleep_efficiency, sleep_duration, occupation, gender
  FROM (SELECT *, concat('USER-', split_part(device_id, '-', 2)) AS user_id, CAST(ts_start AS DATE) AS date
        FROM 'sensor_hrv/*.parquet'
        WHERE hour(ts_start) >= 22 OR hour(ts_start) <= 6) AS n
  JOIN 'sleep_diary.parquet' AS d ON n.user_id = d.user_id AND n.date = d.date
  LEFT JOIN 'user_profile.parquet' AS p ON n.user_id = p.user_id"
brimful convert out/night_rows.parquet out/night_segments.parquet \
  --columns user_id,ts_start,heart_rate,hrv_rmssd,sleep_efficiency,occupation \
  --sort 'hrv_rmssd desc,user_id,ts_start,heart_rate'

# One row for each night.
brimful sql -o out/nights.parquet "
  SELECT user_id, date, avg(heart_rate) AS night_hr, avg(hrv_rmssd) AS night_rmssd,
         sleep_efficiency, sleep_duration, occupation, gender
  FROM 'out/night_rows.parquet'
  GROUP BY user_id, date, sleep_efficiency, sleep_duration, occupation, gender
  ORDER BY night_hr, user_id, date"
rm out/night_rows.parquet
brimful validate out/nights.parquet --min-rows 1 --unique user_id,date --range night_hr=20..250

# The report.
brimful sql -o out/sleep_report.parquet "
  SELECT occupation, gender, count(*) AS nights, avg(night_hr) AS mean_night_hr,
         avg(sleep_efficiency) AS mean_efficiency, corr(night_rmssd, sleep_efficiency) AS r,
         percentile_cont(0.9) WITHIN GROUP (ORDER BY sleep_duration) AS long_sleep
  FROM 'out/nights.parquet'
  GROUP BY occupation, gender
  ORDER BY occupation NULLS FIRST, gender NULLS FIRST"
brimful validate out/sleep_report.parquet \
  --min-rows 1 --unique occupation,gender --range nights=1.. --finite mean_night_hr,mean_efficiency
brimful convert out/sleep_report.parquet out/sleep_report.csv
brimful head -n 20 out/sleep_report.csv --format table

# Some segments to look at.
brimful sample -n 2000 --seed 42 --columns device_id,ts_start,heart_rate,hrv_rmssd 'sensor_hrv/*.parquet' \
  -o out/segments_sample.csv
brimful describe out/segments_sample.csv --format table
