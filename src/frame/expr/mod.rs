//! Expressions: what a column of the result is made of.
//!
//! An expression is a tree that knows nothing of the frame it will be used in. Names, types and what an aggregate is taken
//! over are found out when a verb takes it (`resolve/`), so the same expression may stand in any frame.
//!
//! A text in the place of a value (`col("city").eq("Rome")`) is a text; in the place of a column (`select(["city"])`) it is
//! a column's name.

mod aggregate;
mod construct;
mod dt;
mod list;
mod name;
mod operators;
mod str;
mod values;
mod when;
mod window;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;

pub use self::str::StrExpr;
pub use aggregate::{QuantileMethod, corr, len};
pub(in crate::frame) use construct::DATETIME;
pub use construct::{all, coalesce, col, cols, concat_str, date, datetime, datetime_at, function, lit, null};
pub use dt::DtExpr;
pub use list::ListExpr;
pub use name::NameExpr;
pub use values::ClosedInterval;
pub use when::{Then, When, when};
pub use window::{OverOptions, RankMethod, row_number};

/// A column of a frame, a value, or something computed from them.
///
/// Made with [`col`], [`lit`], [`when`], [`len`] and their like, and put together with operators and methods:
///
/// ```
/// use brimful::frame::{col, len, lit, when};
///
/// let net = col("price") * (lit(1.0) - col("discount").fill_null(0.0));
/// let size = when(col("quantity").gt(100)).then("large").otherwise("small");
/// let share = col("price").sum() / len();
/// # let _ = (net, size, share);
/// ```
#[derive(Debug, Clone)]
pub struct Expr {
    pub(in crate::frame) node: Arc<Node>,
    /// Expressions inside of one another, this one included.
    pub(in crate::frame) depth: usize,
}

/// What an expression is.
#[derive(Debug)]
pub(in crate::frame) enum Node {
    /// The column of that name.
    Column(String),
    /// Several columns: the expression around them is taken for each.
    Columns(Selection),
    Literal(ScalarValue),
    Alias(Expr, String),
    /// The name of the first column with something around it.
    Affix {
        input: Expr,
        prefix: String,
        suffix: String,
    },
    Binary {
        left: Expr,
        op: Op,
        right: Expr,
    },
    Not(Expr),
    Negative(Expr),
    Cast {
        input: Expr,
        to: DataType,
        strict: bool,
    },
    Case {
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Expr>,
    },
    IsIn(Expr, Vec<Expr>),
    Call(Function, Vec<Expr>),
    /// A function of SQL by its name.
    Named(String, Vec<Expr>),
    Aggregate(Aggregate, Vec<Expr>),
    /// An expression of rows for which a condition holds; stands inside aggregates.
    Filtered(Expr, Expr),
    Running(Running, Vec<Expr>),
    Over {
        input: Expr,
        options: OverOptions,
    },
}

/// Columns that are named together.
#[derive(Debug, Clone)]
pub(in crate::frame) enum Selection {
    Named(Vec<String>),
    AllExcept(Vec<String>),
}

/// Operators between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::frame) enum Op {
    Plus,
    Minus,
    Times,
    TrueDivide,
    FloorDivide,
    Modulo,
    Power,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    EqualMissing,
    NotEqualMissing,
    And,
    Or,
}

/// Functions of the values of a row.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::frame) enum Function {
    IsNull,
    IsNotNull,
    IsNan,
    IsNotNan,
    IsFinite,
    Between(ClosedInterval),
    Clip { low: bool, high: bool },
    FillNull,
    Coalesce,
    Round(i64),
    Floor,
    Ceil,
    Abs,
    Sqrt,
    Exp,
    Ln,
    ConcatStr { separator: String, ignore_nulls: bool },
    Str(StrFunction),
    Dt(DtFunction),
    List(ListFunction),
    Datetime,
}

/// Functions of texts.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::frame) enum StrFunction {
    Split,
    StartsWith,
    EndsWith,
    Contains { literal: bool },
    Replace { all: bool, literal: bool },
    Slice,
    LenChars,
    LenBytes,
    ToLowercase,
    ToUppercase,
    StripChars { start: bool, end: bool },
    StripPrefix,
    StripSuffix,
    Strptime { to: DataType, format: Option<String>, strict: bool },
    Extract { group: usize },
    ZFill,
}

/// Functions of dates and times.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::frame) enum DtFunction {
    Part(&'static str),
    Weekday,
    Date,
    Time,
    Truncate(String),
    Strftime(String),
    Total(i64),
    Epoch(i64),
}

/// Functions of lists.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::frame) enum ListFunction {
    Get,
    Len,
    Contains,
    Join,
}

/// Functions of many rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::frame) enum Aggregate {
    /// Rows.
    Rows,
    /// Values of an expression, NULL or not.
    Len,
    Count,
    NullCount,
    Sum,
    Mean,
    Min,
    Max,
    Median,
    Quantile(f64, QuantileMethod),
    Std(u8),
    Var(u8),
    NUnique,
    First,
    Last,
    Corr,
    Mode,
    All,
    Any,
    Implode,
}

/// Functions of a row and the rows around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::frame) enum Running {
    Shift(i64),
    Diff(i64),
    CumSum,
    CumCount,
    CumMin,
    CumMax,
    Rank { method: RankMethod, descending: bool },
    RowNumber,
}

impl Expr {
    pub(in crate::frame) fn new(node: Node) -> Self {
        let depth = 1 + node.children().iter().map(|child| child.depth).max().unwrap_or(0);
        Expr { node: Arc::new(node), depth }
    }

    pub(in crate::frame) fn call(function: Function, args: Vec<Expr>) -> Self {
        Expr::new(Node::Call(function, args))
    }

    fn unary(self, function: Function) -> Self {
        Expr::call(function, vec![self])
    }

    /// Gives the result another name.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2])?.lazy();
    /// let found = rows.select([(col("n") * 2).alias("twice")]).collect()?;
    /// assert_eq!(found.texts("twice"), ["2", "4"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn alias(self, name: impl Into<String>) -> Expr {
        Expr::new(Node::Alias(self, name.into()))
    }

    /// Functions of texts.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["ab"])?.lazy();
    /// let found = rows.select([col("s").str().len_chars()]).collect()?;
    /// assert_eq!(found.texts("s"), ["2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn str(self) -> StrExpr {
        StrExpr(self)
    }

    /// Functions of dates and times.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["2024-01-15"])?.lazy();
    /// let found = rows.select([col("s").str().to_date(None).dt().month()]).collect()?;
    /// assert_eq!(found.texts("s"), ["1"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dt(self) -> DtExpr {
        DtExpr(self)
    }

    /// Functions of lists.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "s" => ["a b c"])?.lazy();
    /// let found = rows.select([col("s").str().split(" ").list().len()]).collect()?;
    /// assert_eq!(found.texts("s"), ["3"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn list(self) -> ListExpr {
        ListExpr(self)
    }

    /// Ways to name the result after the column it is made of.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "n" => [1, 2])?.lazy();
    /// let found = rows.select([col("n").max().name().suffix("_max")]).collect()?;
    /// assert_eq!(found.texts("n_max"), ["2"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(self) -> NameExpr {
        NameExpr(self)
    }

    /// Only the rows for which `predicate` holds; an aggregate follows.
    ///
    /// ```
    /// # use brimful::{Session, SessionOptions, df, frame::*};
    /// # let session = Session::new(SessionOptions::default())?;
    /// let rows = df!(session, "city" => ["Rome", "Oslo", "Rome"], "n" => [1, 2, 5])?.lazy();
    /// let found = rows.select([col("n").filter(col("city").eq("Rome")).sum()]).collect()?;
    /// assert_eq!(found.texts("n"), ["6"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn filter(self, predicate: impl Into<Expr>) -> Expr {
        Expr::new(Node::Filtered(self, predicate.into()))
    }
}

impl Node {
    /// The expressions this one is made of.
    pub(in crate::frame) fn children(&self) -> Vec<&Expr> {
        match self {
            Node::Column(_) | Node::Columns(_) | Node::Literal(_) => vec![],
            Node::Alias(input, _) | Node::Affix { input, .. } | Node::Not(input) | Node::Negative(input) => vec![input],
            Node::Cast { input, .. } => vec![input],
            Node::Over { input, .. } => vec![input],
            Node::Binary { left, right, .. } => vec![left, right],
            Node::Filtered(input, predicate) => vec![input, predicate],
            Node::Case { branches, otherwise } => {
                let branches = branches.iter().flat_map(|(condition, value)| [condition, value]);
                branches.chain(otherwise).collect()
            }
            Node::IsIn(input, values) => std::iter::once(input).chain(values).collect(),
            Node::Call(_, args) | Node::Named(_, args) | Node::Aggregate(_, args) | Node::Running(_, args) => {
                args.iter().collect()
            }
        }
    }
}

/// What can be put where columns are asked for: a name, an expression, or several of either.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "a" => [1], "b" => [2])?.lazy();
/// // A name, an expression, several of either.
/// assert_eq!(rows.clone().select("a").collect()?.width(), 1);
/// assert_eq!(rows.clone().select(col("a") + col("b")).collect()?.texts("a"), ["3"]);
/// assert_eq!(rows.select(vec!["a", "b"]).collect()?.width(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait IntoColumns {
    /// The expressions.
    fn into_columns(self) -> Vec<Expr>;
}

/// One column: a name or an expression.
///
/// ```
/// # use brimful::{Session, SessionOptions, df, frame::*};
/// # let session = Session::new(SessionOptions::default())?;
/// let rows = df!(session, "a" => [1, 2, 3], "b" => [1, 4, 9])?.lazy();
/// assert_eq!(rows.select([corr("a", col("b").sqrt()).round(6)]).collect()?.texts("a"), ["1.0"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait IntoColumn {
    /// The expression.
    fn into_column(self) -> Expr;
}

impl IntoColumn for Expr {
    fn into_column(self) -> Expr {
        self
    }
}

impl IntoColumn for &Expr {
    fn into_column(self) -> Expr {
        self.clone()
    }
}

impl IntoColumn for Then {
    fn into_column(self) -> Expr {
        self.into()
    }
}

impl IntoColumn for &str {
    fn into_column(self) -> Expr {
        col(self)
    }
}

impl IntoColumn for &&str {
    fn into_column(self) -> Expr {
        col(*self)
    }
}

impl IntoColumn for String {
    fn into_column(self) -> Expr {
        col(self)
    }
}

impl IntoColumn for &String {
    fn into_column(self) -> Expr {
        col(self.as_str())
    }
}

impl<T: IntoColumn> IntoColumns for T {
    fn into_columns(self) -> Vec<Expr> {
        vec![self.into_column()]
    }
}

impl<T: IntoColumn, const N: usize> IntoColumns for [T; N] {
    fn into_columns(self) -> Vec<Expr> {
        self.into_iter().map(IntoColumn::into_column).collect()
    }
}

impl<T: IntoColumn> IntoColumns for Vec<T> {
    fn into_columns(self) -> Vec<Expr> {
        self.into_iter().map(IntoColumn::into_column).collect()
    }
}

impl<'a, T, const N: usize> IntoColumns for &'a [T; N]
where
    &'a T: IntoColumn,
{
    fn into_columns(self) -> Vec<Expr> {
        self.iter().map(IntoColumn::into_column).collect()
    }
}

impl<'a, T> IntoColumns for &'a Vec<T>
where
    &'a T: IntoColumn,
{
    fn into_columns(self) -> Vec<Expr> {
        self.iter().map(IntoColumn::into_column).collect()
    }
}

impl<'a, T> IntoColumns for &'a [T]
where
    &'a T: IntoColumn,
{
    fn into_columns(self) -> Vec<Expr> {
        self.iter().map(IntoColumn::into_column).collect()
    }
}
