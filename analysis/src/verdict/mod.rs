//! Why requests got slower or failed, who is to blame, and what to do.
//!
//! [`judge`] takes what two windows of requests come to ([`Profile`]), what machines and middleware say
//! of the same two windows ([`Reading`]) and which versions ran ([`Release`]). The ledger says what time was
//! added and where; [`suspects`](suspect) ranks who explains it; [`cause`] tells by the readings of a
//! suspect why. Where nothing stands out the verdict is that there is nothing to blame, and where the cause is not
//! proven it is unknown.
//!
//! The rules are fixed and versioned ([`RULES_VERSION`]); no threshold belongs to a single system.

mod cause;
mod judge;
mod reading;
mod suspect;
#[cfg(test)]
mod tests;

pub use cause::{Action, Cause};
pub use judge::{Culprit, Inputs, Judgement, judge};
pub use reading::{Measure, Owner, Reading, Release, Told};
pub use suspect::{FAILED, Node, RESHAPED, SURE, Suspect, failing, suspects};

/// Version of the rules: what the same inputs lead to changes with it only.
pub const RULES_VERSION: u32 = 5;
