//! Joins whose key several rows of both sides have.

use std::fs;

use crate::running::*;

/// What is said of a join of `left` and `right`, each a list of keys.
fn said(left: &[u32], right: &[u32], how: &str) -> String {
    let folder = inputs();
    for (name, keys) in [("l.csv", left), ("r.csv", right)] {
        let rows: String = keys.iter().enumerate().map(|(idx, key)| format!("{key},{idx}\n")).collect();
        fs::write(folder.path().join(name), format!("k,{}\n{rows}", &name[..1])).unwrap();
    }
    let yaml = format!(
        "inputs: {{l: l.csv, r: r.csv}}\ntransforms: [{{id: j, type: join, left: l, right: r, on: [k], how: {how}}}]\n\
         outputs: a.csv\n"
    );
    let done = run_text(folder.path(), &yaml, &[]);
    assert!(done.status.success(), "{}", transcript(&done));
    String::from_utf8(done.stderr).unwrap()
}

fn numbers(from: u32, to: u32) -> Vec<u32> {
    (from..to).collect()
}

#[test]
fn joins_of_every_kind_that_multiply_rows_are_warned_about() {
    let twice: Vec<u32> = (0..1_000).map(|n| n / 2).collect();
    for how in ["inner", "left", "right", "full"] {
        let said = said(&twice, &twice, how);
        assert!(said.contains("multiplies rows by 2.0: 1,000 and 1,000 rows give 2,000"), "{how}: {said}");
    }
}

#[test]
fn a_key_that_many_rows_of_both_sides_have_is_warned_about_beside_rows_without_a_partner() {
    let (mut left, mut right) = (numbers(0, 3_000), numbers(10_000, 13_000));
    left.extend([77_777; 100]);
    right.extend([77_777; 100]);
    for (how, want) in [
        ("inner", "multiplies rows by 100.0: 3,100 and 3,100 rows give 10,000"),
        ("left", "multiplies rows by 4.2: 3,100 and 3,100 rows give 13,000"),
        ("full", "multiplies rows by 2.6: 3,100 and 3,100 rows give 16,000"),
    ] {
        let said = said(&left, &right, how);
        assert!(said.contains(want), "{how}: {said}");
    }
}

#[test]
fn joins_that_multiply_nothing_are_not_warned_about() {
    let (unique, twice) = (numbers(0, 500), (0..1_000).map(|n| n / 2).collect::<Vec<u32>>());
    for how in ["inner", "left", "right", "full", "semi", "anti"] {
        for (left, right) in [(&unique, &unique), (&unique, &twice), (&twice, &unique)] {
            assert!(!said(left, right, how).contains("multiplies"), "{how}: {} and {}", left.len(), right.len());
        }
        // Each side has keys twice, and none that the other has twice.
        let (mut left, mut right) = (twice.clone(), numbers(0, 500));
        left.extend(numbers(1_000, 1_500));
        right.extend((2_000..3_000).map(|n| n / 2));
        assert!(!said(&left, &right, how).contains("multiplies"), "{how}");
    }
}
