//! As-of joins against an oracle that looks at every row of the other frame, and what is refused.

use arrow::array::{
    Array, AsArray, Date32Array, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;

use crate::frame::testing::{array, check, check_unordered, frame, shown};
use crate::frame::*;

/// A row: the key that must be equal, where it is, and its number.
type Row = (Option<i64>, Option<i64>, i64);

fn rows(n: i64, n_places: i64, seed: i64) -> Vec<Row> {
    let row = |idx: i64| {
        let scattered = (idx * 7919 + seed * 104_729) % 1_000_003;
        let key = (idx % 11 != 3).then_some(scattered % 4);
        let at = (idx % 7 != 5).then_some(scattered / 5 % n_places);
        (key, at, idx)
    };
    (0..n).map(row).collect()
}

/// A unit of places, as the type that a test gives them.
#[derive(Debug, Clone, Copy)]
enum Places {
    Integers,
    Halves,
    Dates,
    Minutes,
}

impl Places {
    fn frame(self, rows: &[Row], names: [&str; 3]) -> LazyFrame {
        let at = rows.iter().map(|row| row.1);
        let at: arrow::array::ArrayRef = match self {
            Places::Integers => array::<Int64Array>(at.collect::<Vec<_>>()),
            Places::Halves => array::<Float64Array>(at.map(|at| at.map(|at| at as f64 / 2.0)).collect::<Vec<_>>()),
            Places::Dates => array::<Date32Array>(at.map(|at| at.map(|at| at as i32)).collect::<Vec<_>>()),
            Places::Minutes => {
                array::<TimestampMicrosecondArray>(at.map(|at| at.map(|at| at * 60_000_000)).collect::<Vec<_>>())
            }
        };
        let keys = array::<Int64Array>(rows.iter().map(|row| row.0).collect::<Vec<_>>());
        let ids = array::<Int64Array>(rows.iter().map(|row| row.2).collect::<Vec<_>>());
        frame(vec![(names[0], keys), (names[1], at), (names[2], ids)])
    }

    fn tolerance(self, most: i64) -> AsofTolerance {
        match self {
            Places::Integers => most.into(),
            Places::Halves => (most as f64 / 2.0).into(),
            Places::Dates => format!("{most}d").into(),
            Places::Minutes => std::time::Duration::from_secs(most as u64 * 60).into(),
        }
    }
}

fn partner(left: &Row, right: &[Row], by: bool, strategy: AsofStrategy, exact: bool, most: Option<i64>) -> Option<i64> {
    let here = left.1?;
    let mut best: Option<(i64, i64)> = None;
    for &(key, at, id) in right {
        let Some(at) = at else { continue };
        if by && (key.is_none() || key != left.0) || at == here && !exact {
            continue;
        }
        let is_better = match strategy {
            AsofStrategy::Backward => at <= here && best.is_none_or(|(known, _)| at >= known),
            AsofStrategy::Forward => at >= here && best.is_none_or(|(known, _)| at < known),
            AsofStrategy::Nearest => best.is_none_or(|(known, _)| {
                let (new, old) = ((at - here).abs(), (known - here).abs());
                new < old || new == old && at < known
            }),
        };
        if is_better {
            best = Some((at, id));
        }
    }
    best.filter(|(at, _)| most.is_none_or(|most| (at - here).abs() <= most)).map(|(_, id)| id)
}

#[test]
fn any_asof_join_is_the_oracles() {
    let (left, right) = (rows(300, 400, 1), rows(170, 500, 2));
    for strategy in [AsofStrategy::Backward, AsofStrategy::Forward, AsofStrategy::Nearest] {
        for (n, places) in [Places::Integers, Places::Halves, Places::Dates, Places::Minutes].into_iter().enumerate() {
            for (by, most) in [(false, None), (true, None), (true, Some(9)), (false, Some(0))] {
                let exact = n % 2 == 0 || strategy == AsofStrategy::Nearest;
                let mut options = AsofOptions::new().with_strategy(strategy).with_allow_exact_matches(exact);
                if by {
                    options = options.with_left_by("k").with_right_by("rk");
                }
                if let Some(most) = most {
                    options = options.with_tolerance(places.tolerance(most));
                }
                let right_frame = places.frame(&right, ["rk", "rt", "rid"]);
                let joined = places.frame(&left, ["k", "t", "id"]).join_asof(right_frame, "t", "rt", options);
                let found = joined.select(["id", "rid"]).sort("id", SortOptions::new()).collect().unwrap();
                let column = |name: &str| found.column(name).unwrap();
                let (ids, partners) = (column("id"), column("rid"));
                let partners = partners.as_primitive::<Int64Type>();
                assert_eq!(ids.as_primitive::<Int64Type>().values(), &(0..300).collect::<Vec<i64>>()[..]);
                for (row, of) in left.iter().enumerate() {
                    let want = partner(of, &right, by, strategy, exact, most);
                    let found = partners.is_valid(row).then(|| partners.value(row));
                    assert_eq!(found, want, "{of:?} {strategy:?} {places:?} by {by} within {most:?}, exact {exact}");
                }
            }
        }
    }
}

fn small() -> (LazyFrame, LazyFrame) {
    let left = frame(vec![
        ("k", array::<StringArray>(vec!["a", "b", "a"])),
        ("t", array::<Int32Array>(vec![3, 5, 9])),
        ("v", array::<Int64Array>(vec![1, 2, 3])),
    ]);
    let right = frame(vec![
        ("k", array::<StringArray>(vec!["a", "a", "b"])),
        ("t", array::<Int64Array>(vec![2, 8, 9])),
        ("v", array::<Int64Array>(vec![10, 20, 30])),
    ]);
    (left, right)
}

#[test]
fn keys_come_out_once_and_clashes_get_a_suffix() {
    let (left, right) = small();
    let by = || AsofOptions::new().with_by("k");
    let joined = |options| left.clone().join_asof_on(right.clone(), "t", options);
    check_unordered(joined(by()), "k,t,v,v_right|a,3,1,10|a,9,3,20|b,5,2,-");
    let kept = by().with_coalesce(false).with_suffix("_2").with_strategy(AsofStrategy::Forward);
    check_unordered(joined(kept), "k,t,v,t_2,v_2|a,3,1,8,20|a,9,3,-,-|b,5,2,9,30");
    let by_expr = left.clone().join_asof(right.clone(), col("t") + 4, "t", by());
    check_unordered(by_expr, "k,t,v,v_right|a,3,1,10|a,9,3,20|b,5,2,30");
    let twice = joined(by()).join_asof_on(right.clone(), "t", by().with_suffix("_2"));
    check(twice.filter(col("v").eq(3)), "k,t,v,v_right,v_2|a,9,3,20,20");
    let itself = left.clone().join_asof_on(left.clone(), "t", AsofOptions::new().with_allow_exact_matches(false));
    check_unordered(itself, "k,t,v,k_right,v_right|a,3,1,-,-|a,9,3,b,2|b,5,2,a,1");
    let empty = left.clone().join_asof_on(right.clone().filter(lit(false)), "t", by());
    check_unordered(empty, "k,t,v,v_right|a,3,1,-|a,9,3,-|b,5,2,-");
    // A condition on what comes out does not change who is found.
    check(joined(by()).filter(col("v_right").gt(10)), "k,t,v,v_right|a,9,3,20");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_read() {
    let (left, right) = small();
    let dated = |frame: &LazyFrame| frame.clone().with_columns([col("t").cast(DataType::Date32).alias("d")]);
    let refused = |on: &str, options: AsofOptions| {
        let joined = dated(&left).join_asof_on(dated(&right), on, options);
        let error = joined.collect_schema().err();
        error.map_or("planned".to_string(), |error| error.to_string().replace("\n  hint: ", " / "))
    };
    let options = AsofOptions::new;
    for (on, options, want) in [
        ("t", options().with_tolerance(1.5), "a tolerance of 1.5 does not go with places of type Int64"),
        ("t", options().with_tolerance("2d"), "a tolerance of"),
        ("t", options().with_tolerance(-1), "a tolerance of -1 does not go with places of type Int64"),
        ("d", options().with_tolerance(2), "a tolerance of 2 does not go with places of type Date32"),
        ("d", options().with_tolerance("2 days"), "\"2 days\" is not a duration"),
        ("d", options().with_tolerance("1mo"), "\"1mo\" is not a duration: months and years differ"),
        ("d", options().with_tolerance("2d"), "planned"),
        ("k", options(), "an as-of join needs numbers, dates or times to compare, not Utf8"),
        ("s", options(), "column \"s\" not found"),
        ("t", options().with_left_by("k"), "left_by and right_by are 1 and 0 columns"),
        ("t", options().with_by("x"), "column \"x\" not found"),
        (
            "t",
            options().with_strategy(AsofStrategy::Nearest).with_allow_exact_matches(false),
            "the nearest row of both directions may always be at the same place",
        ),
    ] {
        let found = refused(on, options);
        assert!(found.starts_with(want), "{found}\nand not\n{want}");
    }
    let mixed = dated(&left).join_asof(dated(&right), "t", "d", AsofOptions::new());
    assert!(shown(mixed.collect()).starts_with("the keys of a join have the types Int32 and Date32"));
}
