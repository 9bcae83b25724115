//! Functions of texts.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr as Planned, Operator, binary_expr, lit, when};

use super::functions::{take, whole_number};
use super::own_functions::{read_usual, read_with_format};
use super::{Resolver, scalar};
use crate::error::{Error, Result};
use crate::frame::expr::StrFunction;
use crate::sql::plan_failure;

/// What `char::is_whitespace` knows of ASCII, and the no-break space.
const WHITE_SPACE: &str = " \t\n\r\u{b}\u{c}\u{a0}";

impl Resolver<'_> {
    pub(super) fn str_call(&self, function: &StrFunction, mut args: Vec<Planned>) -> Result<Planned> {
        if let Some(input) = args.first() {
            self.expect_text(input, "str()")?;
        }
        match function {
            StrFunction::Split => self.split(args),
            StrFunction::StartsWith => scalar("starts_with", args),
            StrFunction::EndsWith => scalar("ends_with", args),
            StrFunction::Contains { literal: true } => scalar("contains", args),
            StrFunction::Contains { literal: false } => scalar("regexp_like", args),
            StrFunction::Replace { literal: true, .. } => scalar("replace", args),
            StrFunction::Replace { all, literal: false } => {
                if *all {
                    args.push(lit("g"));
                }
                scalar("regexp_replace", args)
            }
            StrFunction::Slice => self.slice(args),
            StrFunction::LenChars => self.count_of("character_length", args),
            StrFunction::LenBytes => self.count_of("octet_length", args),
            StrFunction::ToLowercase => scalar("lower", args),
            StrFunction::ToUppercase => scalar("upper", args),
            StrFunction::StripChars { start, end } => {
                if args.len() == 1 {
                    args.push(lit(WHITE_SPACE));
                }
                let name = match (start, end) {
                    (true, true) => "btrim",
                    (true, false) => "ltrim",
                    _ => "rtrim",
                };
                scalar(name, args)
            }
            StrFunction::StripPrefix => self.strip_end(args, true),
            StrFunction::StripSuffix => self.strip_end(args, false),
            StrFunction::ZFill => self.zero_fill(args),
            StrFunction::Extract { group } => self.extract(args, *group),
            StrFunction::Strptime { to, format, strict } => {
                let [input] = take(args)?;
                self.strptime(input, to, format.as_deref(), *strict)
            }
        }
    }

    fn count_of(&self, name: &str, args: Vec<Planned>) -> Result<Planned> {
        self.as_type(scalar(name, args)?, &DataType::Int64)
    }

    /// The empty text has one part, which is empty.
    fn split(&self, args: Vec<Planned>) -> Result<Planned> {
        let [input, separator] = take(args)?;
        let parts = scalar("string_to_array", vec![input.clone(), separator])?;
        let empty = scalar("make_array", vec![lit("")])?;
        when(input.eq(lit("")), empty).otherwise(parts).map_err(plan_failure)
    }

    fn slice(&self, args: Vec<Planned>) -> Result<Planned> {
        let [input, offset, length] = take(args)?;
        let n_chars = || scalar("character_length", vec![input.clone()]);
        let from_end = |offset: Planned| -> Result<Planned> {
            let n_chars = self.as_type(n_chars()?, &DataType::Int64)?;
            Ok(binary_expr(binary_expr(n_chars, Operator::Plus, offset), Operator::Plus, lit(1i64)))
        };
        let offset = self.as_type(offset, &DataType::Int64)?;
        let start = match whole_number(&offset).or_else(|| constant_cast(&offset)) {
            Some(offset) if offset >= 0 => lit(offset + 1),
            Some(offset) => from_end(lit(offset))?,
            None => {
                let forward = binary_expr(offset.clone(), Operator::Plus, lit(1i64));
                let is_forward = offset.clone().gt_eq(lit(0i64));
                when(is_forward, forward).otherwise(from_end(offset)?).map_err(plan_failure)?
            }
        };
        let length = self.as_type(length, &DataType::Int64)?;
        scalar("substr", vec![input.clone(), start, length])
    }

    fn strip_end(&self, args: Vec<Planned>, at_start: bool) -> Result<Planned> {
        let [input, part] = take(args)?;
        let n_chars = |expr: &Planned| -> Result<Planned> {
            self.as_type(scalar("character_length", vec![expr.clone()])?, &DataType::Int64)
        };
        let test = if at_start { "starts_with" } else { "ends_with" };
        let has_it = scalar(test, vec![input.clone(), part.clone()])?;
        let rest = match at_start {
            true => scalar("substr", vec![input.clone(), binary_expr(n_chars(&part)?, Operator::Plus, lit(1i64))])?,
            false => {
                let kept = binary_expr(n_chars(&input)?, Operator::Minus, n_chars(&part)?);
                scalar("substr", vec![input.clone(), lit(1i64), kept])?
            }
        };
        when(has_it, rest).otherwise(input).map_err(plan_failure)
    }

    fn zero_fill(&self, args: Vec<Planned>) -> Result<Planned> {
        let [input, length] = take(args)?;
        let length = self.as_type(length, &DataType::Int64)?;
        let n_chars = self.as_type(scalar("character_length", vec![input.clone()])?, &DataType::Int64)?;
        let signed = scalar("starts_with", vec![input.clone(), lit("-")])?
            .or(scalar("starts_with", vec![input.clone(), lit("+")])?);
        let digits = scalar("substr", vec![input.clone(), lit(2i64)])?;
        let less_one = binary_expr(length.clone(), Operator::Minus, lit(1i64));
        let after_sign = scalar("lpad", vec![digits, less_one, lit("0")])?;
        let sign = scalar("substr", vec![input.clone(), lit(1i64), lit(1i64)])?;
        let with_sign = binary_expr(sign, Operator::StringConcat, after_sign);
        let plain = scalar("lpad", vec![input.clone(), length.clone(), lit("0")])?;
        let is_long = n_chars.gt_eq(length);
        when(is_long, input).when(signed, with_sign).otherwise(plain).map_err(plan_failure)
    }

    /// Group 0, the whole match, is a group around the pattern.
    fn extract(&self, args: Vec<Planned>, group: usize) -> Result<Planned> {
        let [input, pattern] = take(args)?;
        let Planned::Literal(ScalarValue::Utf8(Some(pattern)), _) = pattern else {
            return Err(Error::usage("the pattern of extract is a text"));
        };
        let (pattern, element) = match group {
            0 => (format!("({pattern})"), 1),
            group => (pattern, group as i64),
        };
        let groups = scalar("regexp_match", vec![input, lit(pattern)])?;
        scalar("array_element", vec![groups, lit(element)])
    }

    fn strptime(&self, input: Planned, to: &DataType, format: Option<&str>, strict: bool) -> Result<Planned> {
        if !super::literals::is_temporal(to) {
            return Err(Error::usage(format!("strptime reads dates, datetimes and times, not {to}")));
        }
        match format {
            None => Ok(read_usual(input, to, strict)),
            Some(format) => read_with_format(input, to, format, strict),
        }
    }
}

/// The value of a literal under a cast.
fn constant_cast(expr: &Planned) -> Option<i64> {
    match expr {
        Planned::Cast(cast) => whole_number(&cast.expr),
        _ => None,
    }
}
