//! The claims archive: some hundred files in folders by year and month, whose columns drift over the years.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use brimful::Session;
use brimful::frame::{CsvScanOptions, DataType, LazyFrame, OverOptions, SortOptions, coalesce, col, len, row_number};
use brimful::io::parquet::ParquetSinkOptions;

use super::random::Random;
use super::write::{self, Formats, Made};

const FIRST_YEAR: i64 = 2013;
const YEARS: usize = 10;
/// From this year on there is a column more.
const YEAR_OF_PLANS: i64 = 2016;
/// From this year on amounts have cents.
const YEAR_OF_CENTS: i64 = 2018;
/// From this year on days are written 31.12.2022.
const YEAR_OF_DOTS: i64 = 2021;
const FILES_PER_MONTH: usize = 3;
/// Files of the archive.
pub const FILES: usize = YEARS * 12 * FILES_PER_MONTH;
const ROWS_PER_BATCH: usize = 100_000;

/// Where a file stands.
#[derive(Debug, Clone, Copy)]
struct Month {
    year: i64,
    month: usize,
}

/// Writes `n_rows` claims below `folder`, as many into each of the [`FILES`] files.
pub fn generate(folder: &Path, n_rows: usize, seed: u64, formats: Formats) -> Made<()> {
    write::parts(FILES, |part| {
        let month =
            Month { year: FIRST_YEAR + (part / FILES_PER_MONTH / 12) as i64, month: part / FILES_PER_MONTH % 12 + 1 };
        let (first, end) = (n_rows * part / FILES, n_rows * (part + 1) / FILES);
        let mut random = Random::part(seed, part);
        let batches = (first..end)
            .step_by(ROWS_PER_BATCH)
            .map(|start| claims_of(&mut random, month, start..end.min(start + ROWS_PER_BATCH)));
        let place = format!("year={}/month={:02}/part-{}", month.year, month.month, part % FILES_PER_MONTH);
        let parquet = folder.join(format!("claims_parquet/{place}.parquet"));
        write::files(formats, &parquet, &folder.join(format!("claims/{place}.csv")), batches)
    })
}

fn claims_of(random: &mut Random, month: Month, rows: std::ops::Range<usize>) -> Made<RecordBatch> {
    let Month { year, month } = month;
    let members = rows.clone().map(|_| format!("M{:06}", random.below(50_000)));
    let members = StringArray::from_iter_values(members);
    let providers = StringArray::from_iter_values(rows.clone().map(|_| format!("P{:04}", random.below(400))));
    let days = rows.clone().map(|_| match random.between(1, 28) {
        day if year >= YEAR_OF_DOTS => format!("{day:02}.{month:02}.{year}"),
        day => format!("{year}-{month:02}-{day:02}"),
    });
    let days = StringArray::from_iter_values(days);
    let paid: ArrayRef = match year >= YEAR_OF_CENTS {
        true => Arc::new(Float64Array::from_iter_values(rows.clone().map(|_| random.decimal(5.0, 900.0, 2)))),
        false => Arc::new(Int64Array::from_iter_values(rows.clone().map(|_| random.between(5, 900)))),
    };
    let mut columns = vec![
        ("claim_id", Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| row as i64 + 1))) as ArrayRef),
        ("member_id", Arc::new(members)),
        ("provider", Arc::new(providers)),
        ("service_day", Arc::new(days)),
        ("paid", paid),
    ];
    if year >= YEAR_OF_PLANS {
        let plans = rows.map(|_| *random.pick(&["gold", "silver", "bronze"]));
        columns.push(("plan", Arc::new(StringArray::from_iter_values(plans))));
    }
    Ok(RecordBatch::try_from_iter(columns)?)
}

/// Writes everything that is asked of this day into the folder `out`.
pub fn answer(session: &Session, folder: &Path, out: &Path) -> brimful::Result<()> {
    let claims = claims(session, folder);
    by_month(claims.clone()).sink_parquet(out.join("claims_by_month.parquet"), ParquetSinkOptions::default())?;
    top_providers(claims).sink_csv(out.join("top_providers.csv"))?;
    Ok(())
}

/// All claims, with days and amounts of one type.
pub fn claims(session: &Session, folder: &Path) -> LazyFrame {
    let options =
        CsvScanOptions::new().with_schema_overrides([("service_day", DataType::Utf8), ("paid", DataType::Float64)]);
    dated(session.scan_csv_with(folder.join("claims/*/*/*.csv"), options))
}

/// The same of the Parquet files.
pub fn claims_of_parquet(session: &Session, folder: &Path) -> LazyFrame {
    dated(session.scan_parquet(folder.join("claims_parquet/*/*/*.parquet")))
}

fn dated(claims: LazyFrame) -> LazyFrame {
    let day = |format| col("service_day").str().strptime_or_null(DataType::Date32, Some(format));
    claims.with_columns([coalesce([day("%Y-%m-%d"), day("%d.%m.%Y")]).alias("service_day")])
}

/// What was paid, month by month and plan by plan.
pub fn by_month(claims: LazyFrame) -> LazyFrame {
    claims
        .group_by([
            col("service_day").dt().year().alias("year"),
            col("service_day").dt().month().alias("month"),
            col("plan"),
        ])
        .agg([
            len().alias("claims"),
            col("paid").sum(),
            col("paid").median().alias("median_paid"),
            col("member_id").n_unique().alias("members"),
        ])
        .sort(["year", "month", "plan"], SortOptions::new())
}

/// The three providers of each year who were paid most.
pub fn top_providers(claims: LazyFrame) -> LazyFrame {
    let placed = OverOptions::partition_by("year").order_by([-col("paid"), col("provider")], SortOptions::new());
    claims
        .group_by([col("service_day").dt().year().alias("year"), col("provider")])
        .agg([col("paid").sum()])
        .with_columns([row_number().over_with(placed).alias("place")])
        .filter(col("place").lt_eq(3))
        .sort(["year", "place"], SortOptions::new())
}
