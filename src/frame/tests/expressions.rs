//! Expressions over one small frame, with the values that Polars 2.1 gives; where ours differ on purpose, it is said.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use chrono::NaiveDate;

use crate::frame::testing::{array, frame, shown};
use crate::frame::*;

const MICROS: i64 = 1_000_000;

fn table() -> LazyFrame {
    let moment = |y, m, d, (h, mi, s, us)| {
        let day = NaiveDate::from_ymd_opt(y, m, d).unwrap();
        Some(day.and_hms_micro_opt(h, mi, s, us).unwrap().and_utc().timestamp_micros())
    };
    let day = |y, m, d| moment(y, m, d, (0, 0, 0, 0)).map(|micros| (micros / (86_400 * MICROS)) as i32);
    let moments = vec![
        moment(2024, 1, 15, (23, 59, 58, 123_456)),
        moment(1969, 12, 31, (1, 1, 0, 0)),
        None,
        moment(2024, 2, 29, (0, 0, 0, 0)),
    ];
    let days = vec![day(2024, 1, 15), day(2023, 12, 31), None, day(2024, 2, 29)];
    frame(vec![
        ("i", array::<Int64Array>(vec![Some(7), Some(-7), None, Some(0)])),
        ("j", array::<Int64Array>(vec![2, 2, 3, 0])),
        ("f", array::<Float64Array>(vec![Some(1.5), Some(f64::NAN), None, Some(-2.5)])),
        ("s", array::<StringArray>(vec![Some("a-b"), Some(" Ab "), None, Some("ÄÖ-x-9")])),
        ("b", array::<BooleanArray>(vec![Some(true), Some(false), None, Some(true)])),
        ("t", Arc::new(TimestampMicrosecondArray::from(moments)) as ArrayRef),
        ("d", Arc::new(Date32Array::from(days)) as ArrayRef),
    ])
}

/// The values of `expr`, one a row, separated by `|`; NULL is `-`.
fn check(expr: impl Into<Expr>, want: &str) {
    let expr = expr.into();
    let found = shown(table().select([expr.clone().alias("x")]).collect());
    assert_eq!(found, format!("x|{want}"), "{expr:?}");
}

fn check_error(expr: impl Into<Expr>, want: &str) {
    assert_eq!(shown(table().select([expr.into()]).collect()), want);
}

fn c(name: &str) -> Expr {
    col(name)
}

#[test]
fn arithmetic() {
    check(c("i") + c("j"), "9|-5|-|0");
    check(c("i") - 1, "6|-8|-|-1");
    check(c("i") * c("f"), "10.5|NaN|-|-0.0");
    check(c("i") / c("j"), "3.5|-3.5|-|NaN");
    check(c("i").floor_div(c("j")), "3|-4|-|-");
    check(c("i") % c("j"), "1|1|-|-");
    check((c("i") + 92).cast(DataType::Int8) % 100, "99|85|-|92");
    check((c("i") - 93).cast(DataType::Int8).floor_div(100), "-1|-1|-|-1");
    check((c("i") - 93).cast(DataType::Int8) % -100, "-86|0|-|-93");
    check(c("i") % i64::MAX, "7|9223372036854775800|-|0");
    check(c("f") % 2, "1.5|NaN|-|1.5");
    check(c("f").floor_div(2), "0.0|NaN|-|-2.0");
    check(c("i").pow(2), "49|49|-|0");
    check(c("j").pow(0.5), "1.4142135623730951|1.4142135623730951|1.7320508075688772|0.0");
    check(-c("i"), "-7|7|-|0");
    check(2 * c("i") + 1, "15|-13|-|1");
    check(c("b") + c("b"), "2|0|-|2");
    check(c("s") + "!", "a-b!| Ab !|-|ÄÖ-x-9!");
}

#[test]
fn comparison_and_logic() {
    check(c("i").eq(7), "true|false|-|false");
    check(c("i").neq(7), "false|true|-|true");
    check(c("i").eq_missing(null()), "false|false|true|false");
    check(c("b") & c("i").gt(0), "true|false|-|false");
    check(c("b") | c("i").gt(0), "true|false|-|true");
    check(!c("b"), "false|true|-|false");
    check(c("i").is_in([7, 0]), "true|false|-|true");
    check(c("i").is_in([Some(7i64), None]), "true|false|-|false");
    check(c("s").is_in(["a-b", "x"]), "true|false|-|false");
    check(c("i").is_between(0, 7), "true|false|-|true");
    check(c("i").is_between_closed(0, 7, ClosedInterval::Left), "false|false|-|true");
    check(c("t").gt("2024-01-15"), "true|false|-|true");
    check(c("t").gt(NaiveDate::from_ymd_opt(2024, 1, 16).unwrap()), "false|false|-|true");
    check(c("d").eq("2024-01-15"), "true|false|-|false");
    check(c("t").gt_eq(datetime(2024, 1, 15)), "true|false|-|true");
    check(c("t").lt(datetime_at((2024, 1, 15), (23, 59, 59))), "true|true|-|false");
    check(c("f").is_nan(), "false|true|-|false");
    check(c("f").is_finite(), "true|false|-|true");
    check(c("i").is_null(), "false|false|true|false");
}

#[test]
fn values() {
    check(c("i").fill_null(9), "7|-7|9|0");
    check(c("i").clip(-1, 5), "5|-1|-|0");
    check(coalesce(["i", "j"]), "7|-7|3|0");
    check(c("f").round(0), "2.0|NaN|-|-2.0");
    check(c("f").floor(), "1.0|NaN|-|-3.0");
    check(c("f").ceil(), "2.0|NaN|-|-2.0");
    check(c("i").abs(), "7|7|-|0");
    check(c("s").cast_or_null(DataType::Int64), "-|-|-|-");
    check(c("b").cast(DataType::Int64), "1|0|-|1");
    check(c("i").cast(DataType::Utf8), "7|-7|-|0");
    check(when(c("i").gt(0)).then(1).when(c("i").lt(0)).then(-1).otherwise(0), "1|-1|0|0");
    check(when(c("i").gt(0)).then(c("j")), "2|-|-|-");
    check(concat_str(["s", "i"], "|"), "a-b|7| Ab |-7|-|ÄÖ-x-9|0");
    check(date(c("j") + 2000, 1, 1), "2002-01-01|2002-01-01|2003-01-01|2000-01-01");
}

#[test]
fn texts() {
    let s = || c("s").str();
    check(s().split("-"), "[a, b]|[ Ab ]|-|[ÄÖ, x, 9]");
    check(s().starts_with("a"), "true|false|-|false");
    check(s().ends_with("9"), "false|false|-|true");
    check(s().contains("[0-9]"), "false|false|-|true");
    check(s().contains_literal("["), "false|false|-|false");
    check(s().replace("-", "+"), "a+b| Ab |-|ÄÖ+x-9");
    check(s().replace_all("-", "+"), "a+b| Ab |-|ÄÖ+x+9");
    check(s().replace_all("(.)-", "$1$1"), "aab| Ab |-|ÄÖÖxx9");
    check(s().slice(1, 2), "-b|Ab|-|Ö-");
    check(s().slice(-3, 2), "a-|Ab|-|x-");
    check(s().len_chars(), "3|4|-|6");
    check(s().len_bytes(), "3|4|-|8");
    check(s().to_lowercase(), "a-b| ab |-|äö-x-9");
    check(s().to_uppercase(), "A-B| AB |-|ÄÖ-X-9");
    check(s().strip_chars(), "a-b|Ab|-|ÄÖ-x-9");
    check(s().strip_chars_of(" aA9"), "-b|b|-|ÄÖ-x-");
    check(s().strip_prefix("a-"), "b| Ab |-|ÄÖ-x-9");
    check(s().strip_suffix("-9"), "a-b| Ab |-|ÄÖ-x");
    check(c("i").cast(DataType::Utf8).str().zfill(3), "007|-07|-|000");
    check(s().extract(r"(\w)-(\w)", 2), "b|-|-|x");
    check(s().extract(r"\w-\w", 0), "a-b|-|-|Ö-x");
}

#[test]
fn dates_and_times() {
    let (t, d) = (|| c("t").dt(), || c("d").dt());
    check(t().year(), "2024|1969|-|2024");
    check(d().month(), "1|12|-|2");
    check(t().day(), "15|31|-|29");
    check(t().hour(), "23|1|-|0");
    check(t().minute(), "59|1|-|0");
    check(t().second(), "58|0|-|0");
    check(t().weekday(), "1|3|-|4");
    check(d().week(), "3|52|-|9");
    check(d().ordinal_day(), "15|365|-|60");
    check(d().quarter(), "1|4|-|1");
    check(t().date(), "2024-01-15|1969-12-31|-|2024-02-29");
    check(t().time(), "23:59:58.123456|01:01:00|-|00:00:00");
    check(t().truncate("1h"), "2024-01-15T23:00:00|1969-12-31T01:00:00|-|2024-02-29T00:00:00");
    check(t().truncate("15m"), "2024-01-15T23:45:00|1969-12-31T01:00:00|-|2024-02-29T00:00:00");
    check(d().truncate("1w"), "2024-01-15|2023-12-25|-|2024-02-26");
    check(d().truncate("1mo"), "2024-01-01|2023-12-01|-|2024-02-01");
    check(t().strftime("%d.%m.%Y %H:%M"), "15.01.2024 23:59|31.12.1969 01:01|-|29.02.2024 00:00");
    check((c("t") - c("d").cast(c_datetime())).dt().total_hours(), "23|-473350|-|0");
    check(t().epoch_seconds(), "1705363198|-82740|-|1709164800");
    let text = t().strftime("%d.%m.%Y %H:%M");
    check(text.str().to_datetime(Some("%d.%m.%Y %H:%M")).dt().hour(), "23|1|-|0");
    check(c("d").cast(DataType::Utf8).str().to_date(None), "2024-01-15|2023-12-31|-|2024-02-29");
    check(c("s").str().strptime_or_null(DataType::Date32, Some("%Y")), "-|-|-|-");
    let nanos = || DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, None);
    let format = || Some("%Y-%m-%d %H:%M:%S%.f");
    let read = |text: &str, to: DataType| lit(text).str().strptime(to, format());
    check(read("2024-01-15 00:00:01.123456789", nanos()), "2024-01-15T00:00:01.123456789");
    let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
    for (text, to) in [("2024-01-15 00:00:01.123456789", micros), ("2999-01-01 00:00:00", nanos())] {
        let error = format!(
            "{text:?} cannot be read by the format \"%Y-%m-%d %H:%M:%S%.f\" as {to}\n  hint: with strptime_or_null it becomes NULL"
        );
        check_error(read(text, to), &error);
    }
    check_error(
        c("s").str().to_date(Some("%d.%m.%Y")),
        "\"a-b\" cannot be read by the format \"%d.%m.%Y\" as Date32\n  hint: with strptime_or_null it becomes NULL",
    );
}

fn c_datetime() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

#[test]
fn lists() {
    let parts = || c("s").str().split("-").list();
    check(parts().get(1), "b|-|-|x");
    check(parts().get(-1), "b| Ab |-|9");
    check(parts().len(), "2|1|-|3");
    check(parts().contains("x"), "false|false|-|true");
    check(parts().join("/"), "a/b| Ab |-|ÄÖ/x/9");
}

#[test]
fn neighbours_and_windows() {
    check(c("i").shift(1), "-|7|-7|-");
    check(c("i").shift(-1), "-7|-|0|-");
    check(c("i").diff(1), "-|-14|-|-");
    check(c("i").cum_sum(), "7|0|-|0");
    check(c("i").cum_max(), "7|7|-|7");
    check(c("i").cum_count(), "1|2|2|3");
    check(c("j").rank(RankMethod::Average, false), "2.5|2.5|4.0|1.0");
    check(c("j").rank(RankMethod::Max, false), "3|3|4|1");
    check(c("j").rank(RankMethod::Dense, true), "2|2|1|3");
    check(c("j").rank(RankMethod::Ordinal, false), "2|3|4|1");
    check(c("i").sum().over("j"), "0|0|0|0");
    check(c("i") - c("i").mean(), "7.0|-7.0|-|0.0");
    check(row_number().over("j"), "1|2|1|1");
    check((c("i") - c("i").min()).over("j"), "14|0|-|0");
    check(c("i").n_unique().over("j"), "2|2|1|1");
    let latest_first = SortOptions::new().with_order_descending(true);
    check(row_number().over_with(OverOptions::partition_by("j").order_by("t", latest_first)), "1|2|1|1");
}

#[test]
fn aggregates() {
    check(c("i").sum(), "0");
    check(c("i").mean(), "0.0");
    check(c("s").min(), " Ab ");
    check(c("t").max(), "2024-02-29T00:00:00");
    check(c("i").median(), "0.0");
    check(c("i").std(1), "7.0");
    check(c("i").var(0), "32.666666666666664");
    check(c("i").n_unique(), "4");
    check(c("j").n_unique(), "3");
    check(c("i").first(), "7");
    check(c("s").last(), "ÄÖ-x-9");
    check(c("i").count(), "3");
    check(c("i").len(), "4");
    check(c("i").null_count(), "1");
    check(c("b").sum(), "2");
    check(c("b").mean(), "0.6666666666666666");
    check(c("b").all(), "false");
    check(c("b").any(), "true");
    check(corr("i", "j"), "0.0");
    check(c("i").quantile(0.25, QuantileMethod::Linear), "-3.5");
    let quantile = |at, method| c("j").quantile(at, method);
    check(quantile(0.3, QuantileMethod::Nearest), "2.0");
    check(quantile(0.5, QuantileMethod::Lower), "2.0");
    check(quantile(0.7, QuantileMethod::Higher), "3.0");
    check(quantile(0.9, QuantileMethod::Midpoint), "2.5");
    check(c("s").quantile(0.5, QuantileMethod::Discrete), "a-b");
    check(c("i").implode(), "[7, -7, -, 0]");
    check(c("i").filter(c("j").eq(2)).sum(), "0");
    check(c("j").mode(), "2");
    check(c("i").diff(1).mean(), "-14.0");
    check((c("i").max() - c("i").min()) / len(), "3.5");
}

#[test]
fn nan_is_no_least_or_greatest_value_unless_there_is_nothing_else() {
    check(c("f").max(), "1.5");
    check(c("f").min(), "-2.5");
    check(c("f").filter(c("j").eq(2)).max(), "1.5");
    check(c("f").filter(c("i").eq(-7)).max(), "NaN");
    check(c("f").filter(c("i").eq(-7)).min(), "NaN");
    check(c("f").cum_max(), "1.5|1.5|-|1.5");
    check((c("f") * f64::NAN).max(), "NaN");
    check(c("f").max().over("j"), "1.5|1.5|-|-2.5");
    let grouped = table().group_by_stable("j").agg([c("f").max(), c("f").cast(DataType::Float32).max().alias("g")]);
    assert_eq!(shown(grouped.collect()), "j,f,g|2,1.5,1.5|3,-,-|0,-2.5,-2.5");
}

#[test]
fn aggregates_that_differ_in_a_cast_only_stand_side_by_side() {
    let twice =
        [c("i").sum(), c("i").cast(DataType::Int32).sum().alias("k"), c("i").cast(DataType::Float64).sum().alias("f")];
    assert_eq!(shown(table().group_by_stable("j").agg(twice).collect()), "j,i,k,f|2,0,0,0.0|3,0,0,0.0|0,0,0,0.0");
}

#[test]
fn dates_and_times_have_means_and_medians() {
    check(c("d").mean(), "2024-01-25T00:00:00");
    check(c("d").median(), "2024-01-15T00:00:00");
    check(c("d").quantile(0.25, QuantileMethod::Linear), "2024-01-07T12:00:00");
    check(c("d").quantile(0.9, QuantileMethod::Nearest), "2024-02-29T00:00:00");
    check(c("t").mean(), "2006-01-25T00:20:19.374485");
    check(c("t").median(), "2024-01-15T23:59:58.123456");
    check((c("t") - c("d").cast(c_datetime())).median().dt().total_hours(), "0");
    check(c("t").mean().over("j").dt().year(), "1997|1997|-|2024");
    check(c("t").filter(c("j").eq(3)).mean(), "-");
    let nanos = DataType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond, None);
    check(lit("2024-01-15T00:00:00.123456789").cast(nanos).median(), "2024-01-15T00:00:00.123456789");
}

#[test]
fn decimals_have_means_that_are_floats() {
    let x = || (c("j").cast(DataType::Decimal128(10, 2)) / 4).cast(DataType::Decimal128(10, 2));
    check(x().mean(), "0.4375");
    check(x().median(), "0.5");
    check(x().sum(), "1.75");
    check(x().filter(c("j").gt(9)).mean(), "-");
}

#[test]
fn a_spread_may_leave_out_any_number_of_values() {
    check(c("i").var(2), "98.0");
    check(c("i").std(2), "9.899494936611665");
    check(c("i").std(3), "-");
    check(c("i").var(9), "-");
}

#[test]
fn dates_are_read_by_usual_formats_when_none_is_given() {
    let day = |text: &str| lit(text).str().to_date(None);
    for text in ["2024-01-15", "2024/01/15", "15.01.2024", "15/01/2024", "15-01-2024", "2024-1-15"] {
        check(day(text), "2024-01-15");
        check(lit(text).str().to_datetime(None), "2024-01-15T00:00:00");
    }
    for text in
        ["2024-01-15 10:11", "2024/01/15 10:11", "15.01.2024 10:11", "15/01/2024 10:11:00", "2024-01-15T10:11:00.0"]
    {
        check(lit(text).str().to_datetime(None), "2024-01-15T10:11:00");
    }
    check(lit("01/15/2024").str().strptime_or_null(DataType::Date32, None), "-");
    check_error(
        day("01/15/2024"),
        "\"01/15/2024\" is no date in a usual form\n  hint: give the format, as in Some(\"%m/%d/%Y\"); with strptime_or_null it becomes NULL",
    );
}

#[test]
fn nothing_has_a_sum_of_0_and_no_mean() {
    let none = || table().filter(c("i").gt(100));
    let found = none().select([c("i").sum(), c("j").mean(), len(), c("s").min(), c("f").n_unique()]);
    assert_eq!(shown(found.collect()), "i,j,len,s,f|0,-,0,-,0");
}

#[test]
fn mistakes_say_what_and_what_to_try() {
    check_error(
        c("i") + c("s"),
        "+ wants a number, not \"s\" of type Utf8\n  hint: convert it with cast(DataType::Float64), or cast_or_null where not every value is a number",
    );
    check_error(
        c("i").eq("x"),
        "a comparison between \"i\" of type Int64 and x of type Utf8\n  hint: convert one of them with cast(..)",
    );
    check_error(
        c("t").gt("yesterday"),
        "yesterday is not a value of type Timestamp(µs)\n  hint: write dates as 2024-01-15 and datetimes as 2024-01-15 08:30:00",
    );
    check_error(
        c("i").str().to_lowercase(),
        "str() wants a text, not \"i\" of type Int64\n  hint: convert it with cast(DataType::Utf8)",
    );
    check_error(
        c("s").dt().year(),
        "dt() wants a date or time, not \"s\" of type Utf8\n  hint: read a text with str().to_datetime(None), or with a format: Some(\"%d.%m.%Y\")",
    );
    check_error(
        function("levenstein", [c("s"), lit("a")]),
        "there is no function \"levenstein\"\n  hint: did you mean \"levenshtein\"?",
    );
    check_error(
        c("i").and(c("b")),
        "& wants true or false, not \"i\" of type Int64\n  hint: compare it with a value, for example col(\"a\").gt(0)",
    );
    check_error(
        c("t").dt().truncate("1 hour"),
        "\"1 hour\" is not a period\n  hint: a number and one of ns, us, ms, s, m, h, d, w, mo, q, y: for example 15m or 1mo",
    );
}
