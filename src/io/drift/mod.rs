//! Files of one table whose columns differ: columns are united by name and widened, a missing one is NULL, and what cannot
//! be united is an error that names the files.
//!
//! Memory: one field a column.
//!
//! The surprising part: a type may be wide enough without every value fitting (integers beyond 2^53 among doubles, dates
//! before 1677 among nanoseconds). Such a value is an error where it is read, never another value and never NULL.

mod common_type;
mod engine_types;
#[cfg(test)]
mod tests;
mod unite;
mod widen;

pub(in crate::io) use common_type::{common_type, keeps_order};
pub(in crate::io) use engine_types::{engine_field, engine_type};
pub(in crate::io) use unite::UnitedSchema;
pub(in crate::io) use widen::widen;
