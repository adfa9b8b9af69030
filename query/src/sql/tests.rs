//! SQL from outside.
