//! The claims archive: a file a month whose columns drift over the years.

use std::error::Error;
use std::fs::{File, create_dir_all};
use std::io::{BufWriter, Write};
use std::path::Path;

use brimful::Session;
use brimful::frame::{CsvScanOptions, DataType, LazyFrame, OverOptions, SortOptions, coalesce, col, len, row_number};

use super::Question;
use super::random::Random;

const YEARS: [i64; 4] = [2019, 2020, 2021, 2022];

/// Writes `n_rows` claims below `folder`, in folders by year and month. From 2020 on there is a column more, from 2021 on
/// amounts have cents, and from 2022 on days are written 31.12.2022.
pub fn generate(folder: &Path, n_rows: usize, seed: u64) -> Result<(), Box<dyn Error>> {
    let mut random = Random::new(seed);
    let rows_each = n_rows.div_ceil(YEARS.len() * 12);
    let mut claim = 0u64;
    for year in YEARS {
        for month in 1..=12 {
            let place = folder.join(format!("claims/year={year}/month={month:02}"));
            create_dir_all(&place)?;
            let mut file = BufWriter::new(File::create(place.join("claims.csv"))?);
            let more = if year >= 2020 { ",plan" } else { "" };
            writeln!(file, "claim_id,member_id,provider,service_day,paid{more}")?;
            for _ in 0..rows_each {
                claim += 1;
                write_claim(&mut file, &mut random, claim, year, month)?;
            }
        }
    }
    Ok(())
}

fn write_claim(file: &mut impl Write, random: &mut Random, claim: u64, year: i64, month: i64) -> std::io::Result<()> {
    let (member, provider, day) = (random.below(50_000), random.below(400), random.between(1, 28));
    write!(file, "{claim},M{member:06},P{provider:04},")?;
    match year {
        2022.. => write!(file, "{day:02}.{month:02}.{year},")?,
        _ => write!(file, "{year}-{month:02}-{day:02},")?,
    }
    match year {
        2021.. => write!(file, "{:.2}", random.decimal(5.0, 900.0, 2))?,
        _ => write!(file, "{}", random.between(5, 900))?,
    }
    match year {
        2020.. => writeln!(file, ",{}", random.pick(&["gold", "silver", "bronze"])),
        _ => writeln!(file),
    }
}

/// All claims, with days of one type.
pub fn claims(session: &Session, folder: &Path) -> LazyFrame {
    let options =
        CsvScanOptions::new().with_schema_overrides([("service_day", DataType::Utf8), ("paid", DataType::Float64)]);
    let day = |format| col("service_day").str().strptime_or_null(DataType::Date32, Some(format));
    session.scan_csv_with(folder.join("claims/*/*/*.csv"), options).with_columns([coalesce([
        day("%Y-%m-%d"),
        day("%d.%m.%Y"),
    ])
    .alias("service_day")])
}

fn claims_sql(folder: &Path) -> String {
    // SQL knows no options of files, so the days were read as text already in the session of the test.
    let path = folder.join("claims/*/*/*.csv").display().to_string();
    format!(
        "SELECT claim_id, member_id, provider, plan, CAST(paid AS DOUBLE) AS paid, CASE WHEN service_day LIKE '%.%' THEN \
         to_date(service_day, '%d.%m.%Y') ELSE CAST(service_day AS DATE) END AS service_day FROM '{path}'"
    )
}

/// What was paid, month by month and plan by plan.
pub fn by_month(session: &Session, folder: &Path) -> Question {
    let frame = claims(session, folder)
        .group_by([
            col("service_day").dt().year().alias("year"),
            col("service_day").dt().month().alias("month"),
            col("plan"),
        ])
        .agg([len().alias("claims"), col("paid").sum(), col("member_id").n_unique().alias("members")])
        .sort(["year", "month", "plan"], SortOptions::new());
    let sql = format!(
        "SELECT extract(year FROM service_day) AS year, extract(month FROM service_day) AS month, plan, count(*) AS claims, \
         sum(paid) AS paid, count(DISTINCT member_id) AS members FROM ({}) GROUP BY 1, 2, 3 \
         ORDER BY year, month, plan NULLS FIRST",
        claims_sql(folder)
    );
    Question { name: "paid by month and plan", frame, sql }
}

/// The three providers of each year who were paid most.
pub fn top_providers(session: &Session, folder: &Path) -> Question {
    let most_first = SortOptions::new().with_order_descending(true);
    let frame = claims(session, folder)
        .group_by([col("service_day").dt().year().alias("year"), col("provider")])
        .agg([col("paid").sum()])
        .with_columns([row_number()
            .over_with(OverOptions::partition_by("year").order_by("paid", most_first))
            .alias("place")])
        .filter(col("place").lt_eq(3))
        .sort(["year", "place"], SortOptions::new());
    let sql = format!(
        "SELECT * FROM (SELECT year, provider, paid, row_number() OVER (PARTITION BY year ORDER BY paid DESC) AS place FROM \
         (SELECT extract(year FROM service_day) AS year, provider, sum(paid) AS paid FROM ({}) GROUP BY 1, 2)) \
         WHERE place <= 3 ORDER BY year, place",
        claims_sql(folder)
    );
    Question { name: "top providers", frame, sql }
}
