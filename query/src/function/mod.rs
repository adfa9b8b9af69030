//! SQL functions of Headrope, documented in `docs/sql.md`.

pub(crate) mod attr;
mod bucket;
pub(crate) mod hex;
mod object;
mod sketch;
pub(crate) mod tag;
pub(crate) mod text;

#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::registry::FunctionRegistry as _;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

pub(crate) use bucket::step_ns;
pub(crate) use headrope_model::json::members;
pub(crate) use tag::canonical;

/// `latency_sketch` where a row holds a value, or the sketch of several values: what the planner puts
/// in its place over roll-ups. SQL does not know it.
pub(crate) fn latency_sketch_of_rollup() -> Arc<AggregateUDF> {
    static FUNCTION: LazyLock<Arc<AggregateUDF>> =
        LazyLock::new(|| Arc::new(AggregateUDF::new_from_impl(sketch::SketchOf::either())));
    Arc::clone(&FUNCTION)
}

/// Adds the functions to a state.
pub(crate) fn register(state: &mut SessionState) {
    let scalars = [
        ScalarUDF::new_from_impl(attr::Attr::new(attr::Output::Text)),
        ScalarUDF::new_from_impl(attr::Attr::new(attr::Output::Number)),
        ScalarUDF::new_from_impl(attr::Attr::new(attr::Output::Json)),
        ScalarUDF::new_from_impl(object::AttributesJson::new()),
        ScalarUDF::new_from_impl(tag::HasTag::new()),
        ScalarUDF::new_from_impl(bucket::TimeBucket::new()),
        ScalarUDF::new_from_impl(bucket::LatencyBucket::new()),
        ScalarUDF::new_from_impl(sketch::Percentile::new()),
        ScalarUDF::new_from_impl(text::TextMatch::new()),
    ];
    for function in scalars {
        // Registering fails only in registries that are read-only, which a state is not.
        let _ = state.register_udf(Arc::new(function));
    }
    for function in [sketch::SketchOf::values(), sketch::SketchOf::sketches()] {
        let _ = state.register_udaf(Arc::new(AggregateUDF::new_from_impl(function)));
    }
}
