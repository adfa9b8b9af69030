//! Functions over hand-made batches.
