#!/bin/sh
# A working day with health records: CSV to Parquet once, then distinct patients per site, and two files that agree.
#
# The data is that of examples/health_records.rs. Where events/ is:
#   BRIMFUL_MEMORY_BUDGET=512MiB sh prevalence.sh
set -eu
mkdir -p out

brimful inspect 'events/*.csv'
brimful head -n 5 'events/*.csv' --format table
brimful head -n 3 patients.csv --format table
brimful schema patients.csv

# Only the columns that are asked about, and the times as the texts that they are in the files.
brimful convert 'events/*.csv' out/events.parquet --columns patient_id,site_id,event_ts,code --schema event_ts=varchar

brimful sql -o out/everybody.csv "
  SELECT site_id, count(DISTINCT patient_id) AS patients
  FROM 'out/events.parquet' WHERE CAST(event_ts AS TIMESTAMP) >= '2023-01-01' GROUP BY site_id"
brimful sql -o out/diabetes.csv "
  SELECT site_id, count(DISTINCT patient_id) AS with_diabetes
  FROM 'out/events.parquet' WHERE CAST(event_ts AS TIMESTAMP) >= '2023-01-01' AND code LIKE 'E11%' GROUP BY site_id"
brimful sql -o out/prevalence.parquet "
  SELECT site_name, patients, coalesce(with_diabetes, 0) AS with_diabetes,
         CAST(coalesce(with_diabetes, 0) AS DOUBLE) / patients AS prevalence
  FROM 'out/everybody.csv' AS e
  LEFT JOIN 'out/diabetes.csv' AS d ON e.site_id = d.site_id
  JOIN 'sites.csv' AS s ON e.site_id = s.site_id
  ORDER BY prevalence DESC, site_name"
brimful convert out/prevalence.parquet out/prevalence.csv
brimful validate out/prevalence.parquet \
  --min-rows 1 --not-null site_name,patients --unique site_name --range prevalence=0..1
brimful head out/prevalence.csv --format table
