-- A working day with an archive: several hundred CSV files whose columns drift over the years.
--
-- The data is that of examples/claims_archive.rs. Where claims/ is:
--   mkdir -p out && brimful sql -f claims.sql --memory-budget 512MiB

-- Files that have no plan yet give NULL; whole amounts become DOUBLE; days are read in both forms.
CREATE VIEW dated AS
SELECT provider, member_id, plan, paid,
       CASE WHEN service_day LIKE '%.%' THEN to_date(service_day, '%d.%m.%Y') ELSE CAST(service_day AS DATE) END AS day
FROM read_csv('claims/*/*/*.csv', schema = 'service_day=varchar,paid=double');

COPY (SELECT year(day) AS year, month(day) AS month, plan, count(*) AS claims, sum(paid) AS paid,
             median(paid) AS median_paid, count(DISTINCT member_id) AS members
      FROM dated
      GROUP BY year(day), month(day), plan
      ORDER BY year, month, plan NULLS FIRST)
TO 'out/claims_by_month.parquet';

COPY (SELECT year, provider, paid, place
      FROM (SELECT *, row_number() OVER (PARTITION BY year ORDER BY paid DESC, provider) AS place
            FROM (SELECT year(day) AS year, provider, sum(paid) AS paid FROM dated GROUP BY year(day), provider))
      WHERE place <= 3
      ORDER BY year, place)
TO 'out/top_providers.csv';
