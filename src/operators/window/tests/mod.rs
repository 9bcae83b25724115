//! Windows against a dull oracle.
