//! The parts of the crash loop.

pub(crate) mod check;
pub(crate) mod ledger;
pub(crate) mod load;
