"""The three working days: which files they read and write, and the same questions in DuckDB's SQL.

Standard library only: imported by `run.py`, which must stay small, and by `answers.py`, which runs in the venv.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One output, and how DuckDB computes it where the data is."""

    name: str
    sql: str
    by_fingerprint: bool = False  # as large as the input: compared by a hash of rows and places, then deleted


@dataclass(frozen=True)
class Sample:
    """Rows at random: every way draws the same ones, and all of them are rows of the data."""

    name: str
    rows: int
    source: str


@dataclass(frozen=True)
class Day:
    name: str
    example: str  # the Rust way
    files: tuple[str, ...]  # the names, without ending, in examples/sql, examples/pipelines and examples/shell
    inputs: tuple[str, ...]
    results: tuple[Result, ...]
    samples: tuple[Sample, ...] = ()
    share_of_rows: float = 1.0
    plan_says: str = ""  # must stand in the plan of the first file

    @property
    def outputs(self):
        return self.results + self.samples


DEVICE_DAYS = """
    SELECT device_id, ts_start::DATE AS date, count(*) AS segments, avg(heart_rate) AS mean_hr,
           avg(hrv_sdnn) AS mean_sdnn, sum(steps)::BIGINT AS steps
    FROM 'sensor_hrv/*.parquet'
    WHERE missingness_score <= 0.35 AND ts_start >= TIMESTAMP '2024-01-15'
    GROUP BY ALL ORDER BY device_id, date"""

NIGHT_ROWS = """
    SELECT n.user_id, n.date, n.ts_start, n.heart_rate, n.hrv_rmssd, d.sleep_efficiency, d.sleep_duration,
           p.occupation, p.gender
    FROM (SELECT 'USER-' || string_split(device_id, '-')[2] AS user_id, ts_start::DATE AS date, *
          FROM 'sensor_hrv/*.parquet' WHERE hour(ts_start) NOT BETWEEN 7 AND 21) n
    JOIN 'sleep_diary.parquet' d USING (user_id, date)
    LEFT JOIN 'user_profile.parquet' p USING (user_id)"""

NIGHTS = f"""
    SELECT user_id, date, avg(heart_rate) AS night_hr, avg(hrv_rmssd) AS night_rmssd,
           any_value(sleep_efficiency) AS sleep_efficiency, any_value(sleep_duration) AS sleep_duration,
           any_value(occupation) AS occupation, any_value(gender) AS gender
    FROM ({NIGHT_ROWS}) GROUP BY user_id, date ORDER BY night_hr, user_id, date"""

SLEEP_REPORT = f"""
    SELECT occupation, gender, count(*) AS nights, avg(night_hr) AS mean_night_hr,
           avg(sleep_efficiency) AS mean_efficiency, corr(night_rmssd, sleep_efficiency) AS r,
           quantile_cont(sleep_duration, 0.9) AS long_sleep
    FROM ({NIGHTS}) GROUP BY ALL ORDER BY occupation NULLS FIRST, gender NULLS FIRST"""

NIGHT_SEGMENTS = f"""
    SELECT user_id, ts_start, heart_rate, hrv_rmssd, sleep_efficiency, occupation
    FROM ({NIGHT_ROWS}) ORDER BY hrv_rmssd DESC, user_id, ts_start, heart_rate"""

SENSORS = Day(
    name="sensors",
    example="sensor_study",
    files=("sensor_filter", "sleep_report"),
    inputs=("sensor_hrv", "sleep_diary.parquet", "user_profile.parquet"),
    results=(
        Result("device_days.parquet", DEVICE_DAYS),
        Result("device_days.csv", DEVICE_DAYS),
        Result("sleep_report.parquet", SLEEP_REPORT),
        Result("sleep_report.csv", SLEEP_REPORT),
        Result("nights.parquet", NIGHTS),
        Result("night_segments.parquet", NIGHT_SEGMENTS, by_fingerprint=True),
    ),
    samples=(Sample("segments_sample.csv", 2000, "'sensor_hrv/*.parquet'"),),
    plan_says="6 of 14 columns",
)

PREVALENCE = """
    WITH recent AS (
        FROM read_csv('events/*.csv', types = {'event_ts': 'VARCHAR'})
        WHERE strptime(event_ts, '%Y-%m-%dT%H:%M:%S') >= TIMESTAMP '2023-01-01')
    SELECT site_name, count(DISTINCT patient_id) AS patients,
           count(DISTINCT patient_id) FILTER (code[1:3] = 'E11') AS with_diabetes,
           with_diabetes / patients AS prevalence
    FROM recent JOIN 'sites.csv' USING (site_id)
    GROUP BY site_name ORDER BY prevalence DESC, site_name"""

HEALTH = Day(
    name="health",
    example="health_records",
    files=("prevalence",),
    inputs=("events", "patients.csv", "sites.csv"),
    results=(Result("prevalence.parquet", PREVALENCE), Result("prevalence.csv", PREVALENCE)),
    share_of_rows=0.75,
)

CLAIMS = """
    SELECT coalesce(try_strptime(service_day, '%Y-%m-%d'), try_strptime(service_day, '%d.%m.%Y')) AS day,
           provider, member_id, plan, paid
    FROM read_csv('claims/*/*/*.csv', union_by_name = true, hive_partitioning = false,
                  types = {'service_day': 'VARCHAR', 'paid': 'DOUBLE'})"""

BY_MONTH = f"""
    SELECT year(day) AS year, month(day) AS month, plan, count(*) AS claims, sum(paid) AS paid,
           median(paid) AS median_paid, count(DISTINCT member_id) AS members
    FROM ({CLAIMS}) GROUP BY ALL ORDER BY year, month, plan NULLS FIRST"""

TOP_PROVIDERS = f"""
    SELECT year(day) AS year, provider, sum(paid) AS paid,
           row_number() OVER (PARTITION BY year(day) ORDER BY sum(paid) DESC, provider) AS place
    FROM ({CLAIMS}) GROUP BY year(day), provider QUALIFY place <= 3 ORDER BY year, place"""

ARCHIVE = Day(
    name="claims",
    example="claims_archive",
    files=("claims",),
    inputs=("claims",),
    results=(Result("claims_by_month.parquet", BY_MONTH), Result("top_providers.csv", TOP_PROVIDERS)),
)

DAYS = {day.name: day for day in (SENSORS, HEALTH, ARCHIVE)}
