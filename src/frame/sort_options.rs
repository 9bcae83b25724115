//! How rows are sorted.

use crate::error::{Error, Result};

/// How one key is sorted.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "n" => [Some(2), None, Some(3)])?.lazy();
/// let options = SortOptions { descending: true, nulls_last: true };
/// assert_eq!(rows.sort("n", options).collect()?.texts("n"), ["3", "2", "null"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SortOptions {
    /// The greatest first.
    pub descending: bool,
    /// NULLs at the end; without it they come first, whatever the direction.
    pub nulls_last: bool,
}

/// How several keys are sorted: one setting for all, or one for each.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "k" => [1, 1, 2], "n" => [1, 2, 3])?.lazy();
/// let options = SortMultipleOptions::new().with_order_descending_multi([false, true]);
/// assert_eq!(rows.sort(["k", "n"], options).collect()?.texts("n"), ["2", "1", "3"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SortMultipleOptions {
    descending: Vec<bool>,
    nulls_last: Vec<bool>,
}

impl SortOptions {
    /// The least first, NULLs before.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "k" => [2, 1, 2], "n" => [Some(5), None, Some(9)])?.lazy();
    /// let found = rows.sort("k", SortOptions::new()).collect()?;
    /// assert_eq!(found.texts("k"), ["1", "2", "2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The greatest first.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "k" => [2, 1, 2], "n" => [Some(5), None, Some(9)])?.lazy();
    /// let found = rows.sort("k", SortOptions::new().with_order_descending(true)).collect()?;
    /// assert_eq!(found.texts("k"), ["2", "2", "1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_order_descending(self, descending: bool) -> Self {
        SortOptions { descending, ..self }
    }

    /// NULLs at the end.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "k" => [2, 1, 2], "n" => [Some(5), None, Some(9)])?.lazy();
    /// let found = rows.sort("n", SortOptions::new().with_nulls_last(true)).collect()?;
    /// assert_eq!(found.texts("n"), ["5", "9", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_nulls_last(self, nulls_last: bool) -> Self {
        SortOptions { nulls_last, ..self }
    }
}

impl SortMultipleOptions {
    /// The least first, NULLs before.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "k" => [2, 1, 2], "n" => [Some(5), None, Some(9)])?.lazy();
    /// let found = rows.sort(["k", "n"], SortMultipleOptions::new()).collect()?;
    /// assert_eq!(found.texts("n"), ["null", "5", "9"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The direction of all keys.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "k" => [2, 1, 2], "n" => [Some(5), None, Some(9)])?.lazy();
    /// let found = rows.sort(["k", "n"], SortMultipleOptions::new().with_order_descending(true)).collect()?;
    /// assert_eq!(found.texts("n"), ["9", "5", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_order_descending(self, descending: bool) -> Self {
        self.with_order_descending_multi([descending])
    }

    /// The direction of each key.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "k" => [2, 1, 2], "n" => [Some(5), None, Some(9)])?.lazy();
    /// let options = SortMultipleOptions::new().with_order_descending_multi([true, false]);
    /// let found = rows.sort(["k", "n"], options).collect()?;
    /// assert_eq!(found.texts("n"), ["5", "9", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_order_descending_multi(mut self, descending: impl IntoIterator<Item = bool>) -> Self {
        self.descending = descending.into_iter().collect();
        self
    }

    /// Whether NULLs come at the end, for all keys.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "k" => [2, 1, 2], "n" => [Some(5), None, Some(9)])?.lazy();
    /// let found = rows.sort(["n", "k"], SortMultipleOptions::new().with_nulls_last(true)).collect()?;
    /// assert_eq!(found.texts("n"), ["5", "9", "null"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_nulls_last(self, nulls_last: bool) -> Self {
        self.with_nulls_last_multi([nulls_last])
    }

    /// Whether NULLs come at the end, for each key.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "k" => [2, 1, 2], "n" => [Some(5), None, Some(9)])?.lazy();
    /// let found = rows.sort(["n", "k"], SortMultipleOptions::new().with_nulls_last_multi([true, false])).collect()?;
    /// assert_eq!(found.texts("k"), ["2", "2", "1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_nulls_last_multi(mut self, nulls_last: impl IntoIterator<Item = bool>) -> Self {
        self.nulls_last = nulls_last.into_iter().collect();
        self
    }

    /// Does nothing: rows that are equal in the keys always keep their order.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "k" => [2, 1, 2], "n" => [Some(5), None, Some(9)])?.lazy();
    /// let found = rows.sort("k", SortMultipleOptions::new().with_maintain_order(true)).collect()?;
    /// assert_eq!(found.texts("n"), ["null", "5", "9"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
