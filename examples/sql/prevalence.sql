-- A working day with health records: texts read as times, distinct patients per site, and two files that agree.
--
-- The data is that of examples/health_records.rs. Where events/ is:
--   mkdir -p out && brimful sql -f prevalence.sql --memory-budget 512MiB

CREATE VIEW recent AS
SELECT site_id, patient_id, code
FROM read_csv('events/*.csv', schema = 'event_ts=varchar')
WHERE CAST(event_ts AS TIMESTAMP) >= '2023-01-01';

CREATE TEMP TABLE report AS
WITH everybody AS (SELECT site_id, count(DISTINCT patient_id) AS patients FROM recent GROUP BY site_id),
     diabetes AS (SELECT site_id, count(DISTINCT patient_id) AS with_diabetes
                  FROM recent WHERE starts_with(code, 'E11') GROUP BY site_id)
SELECT site_name, patients, coalesce(with_diabetes, 0) AS with_diabetes,
       CAST(coalesce(with_diabetes, 0) AS DOUBLE) / patients AS prevalence
FROM everybody
LEFT JOIN diabetes ON everybody.site_id = diabetes.site_id
JOIN 'sites.csv' AS sites ON everybody.site_id = sites.site_id;

COPY (SELECT * FROM report ORDER BY prevalence DESC, site_name) TO 'out/prevalence.parquet';
COPY (SELECT * FROM report ORDER BY prevalence DESC, site_name) TO 'out/prevalence.csv';
