//! Verbs over small frames.

use arrow::array::{Int64Array, StringArray};

use super::testing::{array, check, check_unordered, frame, shown};
use super::*;

fn cities() -> LazyFrame {
    frame(vec![
        ("city", array::<StringArray>(vec![Some("Rome"), Some("Oslo"), None, Some("Rome"), Some("Bern")])),
        ("n", array::<Int64Array>(vec![Some(1), Some(2), Some(3), None, Some(5)])),
    ])
}

#[test]
fn rows_are_selected_filtered_and_computed() {
    check(cities().select(["n", "city"]).head(2), "n,city|1,Rome|2,Oslo");
    check(cities().filter(col("n").gt(1)), "city,n|Oslo,2|-,3|Bern,5");
    check(cities().with_columns([(col("n") * 2).alias("twice")]).tail(2), "city,n,twice|Rome,-,-|Bern,5,10");
    check(cities().with_columns([col("n") / 2]).head(1), "city,n|Rome,0.5");
    check(cities().select([col("n").sum(), len()]), "n,len|11,5");
    check(cities().select([lit(1).alias("one")]), "one|1");
}

#[test]
fn groups_and_joins_and_sorts() {
    let groups = || cities().group_by(["city"]).agg([col("n").sum(), len(), col("n").n_unique().alias("u")]);
    check_unordered(groups(), "city,n,len,u|-,3,1,1|Bern,5,1,1|Oslo,2,1,1|Rome,1,2,2");
    check(groups().sort("city", SortOptions::new()).head(2), "city,n,len,u|-,3,1,1|Bern,5,1,1");
    check(cities().sort("n", SortOptions::new().with_order_descending(true)).head(2), "city,n|Rome,-|Bern,5");
    let joined = cities().join_on(groups().select(["city", "n"]), "city", JoinType::Left);
    check_unordered(joined, "city,n,n_right|-,3,-|Bern,5,5|Oslo,2,2|Rome,-,1|Rome,1,1");
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    assert_eq!(shown(cities().select(["ctiy"]).collect()), "column \"ctiy\" not found\n  hint: did you mean \"city\"?");
}

#[test]
fn windows_leave_rows_where_they_are() {
    let ranked = cities().with_columns([col("n").sum().over("city").alias("sum"), col("n").shift(1).alias("before")]);
    check(ranked, "city,n,sum,before|Rome,1,1,-|Oslo,2,2,1|-,3,3,2|Rome,-,1,3|Bern,5,5,-");
}
