#!/bin/sh
# A working day with sensor data, 1: filter while reading. Of 14 columns 6 are read, as `explain` shows.
#
# The data is that of examples/sensor_study.rs. Where sensor_hrv/ is:
#   BRIMFUL_MEMORY_BUDGET=512MiB sh sensor_filter.sh
set -eu
mkdir -p out

brimful inspect 'sensor_hrv/*.parquet'
brimful schema 'sensor_hrv/*.parquet'
brimful head -n 5 'sensor_hrv/*.parquet' --format table
brimful describe --columns heart_rate,hrv_sdnn,missingness_score 'sensor_hrv/*.parquet' --format table

question="
  SELECT device_id, CAST(ts_start AS DATE) AS date, count(*) AS segments,
         avg(heart_rate) AS mean_hr, avg(hrv_sdnn) AS mean_sdnn, sum(steps) AS steps
  FROM 'sensor_hrv/*.parquet'
  WHERE missingness_score <= 0.35 AND ts_start >= '2024-01-15'
  GROUP BY 1, 2
  ORDER BY device_id, date"
brimful explain "$question"
brimful sql "$question" -o out/device_days.parquet
brimful convert out/device_days.parquet out/device_days.csv
brimful validate out/device_days.parquet \
  --min-rows 1 --unique device_id,date --range segments=1.. --finite mean_hr,mean_sdnn
