//! How rows are sorted.

use crate::error::{Error, Result};

/// How one key is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SortOptions {
    /// The greatest first.
    pub descending: bool,
    /// NULLs at the end; without it they come first, whatever the direction.
    pub nulls_last: bool,
}

/// How several keys are sorted: one setting for all, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SortMultipleOptions {
    descending: Vec<bool>,
    nulls_last: Vec<bool>,
}

impl SortOptions {
    /// The least first, NULLs before.
    pub fn new() -> Self {
        Self::default()
    }

    /// The greatest first.
    pub fn with_order_descending(self, descending: bool) -> Self {
        SortOptions { descending, ..self }
    }

    /// NULLs at the end.
    pub fn with_nulls_last(self, nulls_last: bool) -> Self {
        SortOptions { nulls_last, ..self }
    }
}

impl SortMultipleOptions {
    /// The least first, NULLs before.
    pub fn new() -> Self {
        Self::default()
    }

    /// The direction of all keys.
    pub fn with_order_descending(self, descending: bool) -> Self {
        self.with_order_descending_multi([descending])
    }

    /// The direction of each key.
    pub fn with_order_descending_multi(mut self, descending: impl IntoIterator<Item = bool>) -> Self {
        self.descending = descending.into_iter().collect();
        self
    }

    /// Whether NULLs come at the end, for all keys.
    pub fn with_nulls_last(self, nulls_last: bool) -> Self {
        self.with_nulls_last_multi([nulls_last])
    }

    /// Whether NULLs come at the end, for each key.
    pub fn with_nulls_last_multi(mut self, nulls_last: impl IntoIterator<Item = bool>) -> Self {
        self.nulls_last = nulls_last.into_iter().collect();
        self
    }

    /// Does nothing: rows that are equal in the keys always keep their order.
    pub fn with_maintain_order(self, _maintain_order: bool) -> Self {
        self
    }

    /// Whether key number `idx` of `n_keys` descends, and whether its NULLs come last.
    pub(super) fn of_key(&self, idx: usize, n_keys: usize) -> Result<(bool, bool)> {
        let of = |settings: &[bool], name: &str| match settings {
            [] => Ok(false),
            [all] => Ok(*all),
            each if each.len() == n_keys => Ok(each[idx]),
            each => Err(Error::usage(format!("{name} is given for {} of {n_keys} keys", each.len()))),
        };
        Ok((of(&self.descending, "descending")?, of(&self.nulls_last, "nulls_last")?))
    }
}

impl From<SortOptions> for SortMultipleOptions {
    fn from(options: SortOptions) -> Self {
        SortMultipleOptions { descending: vec![options.descending], nulls_last: vec![options.nulls_last] }
    }
}
