//! The typed answers against an oracle.
