#!/bin/sh
# A working day with an archive: several hundred CSV files whose columns drift over the years become one tidy file.
#
# The data is that of examples/claims_archive.rs. Where claims/ is:
#   BRIMFUL_MEMORY_BUDGET=512MiB sh claims.sh
set -eu
mkdir -p out

brimful inspect 'claims/*/*/*.csv'
brimful head -n 3 'claims/year=2013/*/*.csv' --format table
brimful head -n 3 'claims/year=2022/*/*.csv' --format table

# Files that have no plan yet give NULL, and whole amounts become DOUBLE; both forms of days are texts at first.
brimful convert 'claims/*/*/*.csv' out/archive.parquet \
  --columns member_id,provider,plan,paid,service_day --schema service_day=varchar,paid=double
brimful sql -o out/claims.parquet "
  SELECT * EXCLUDE (service_day), CASE WHEN service_day LIKE '%.%' THEN to_date(service_day, '%d.%m.%Y')
         ELSE CAST(service_day AS DATE) END AS day
  FROM 'out/archive.parquet'"
rm out/archive.parquet
brimful validate out/claims.parquet --not-null member_id,provider,paid,day --range paid=0..

brimful sql -o out/claims_by_month.parquet "
  SELECT year(day) AS year, month(day) AS month, plan, count(*) AS claims, sum(paid) AS paid,
         median(paid) AS median_paid, count(DISTINCT member_id) AS members
  FROM 'out/claims.parquet'
  GROUP BY 1, 2, 3
  ORDER BY year, month, plan NULLS FIRST"
brimful sql -o out/top_providers.csv "
  SELECT year, provider, paid, place
  FROM (SELECT *, row_number() OVER (PARTITION BY year ORDER BY paid DESC, provider) AS place
        FROM (SELECT year(day) AS year, provider, sum(paid) AS paid FROM 'out/claims.parquet' GROUP BY 1, 2))
  WHERE place <= 3
  ORDER BY year, place"
brimful head -n 6 out/top_providers.csv --format table
