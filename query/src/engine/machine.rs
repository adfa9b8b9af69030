//! What all questions share: memory, disk, caches, functions, admission.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;
use tokio::runtime::{Builder, Handle, Runtime};

use super::config::QueryConfig;
use super::fault::internal;
use super::gate::Gate;
use super::narrow::Narrow;
use super::rollup;
use super::texts::TextIndexes;
use crate::error::QueryError;
use crate::function;
use crate::segment::Footers;

/// Number of consumers named when memory runs out.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// Stack of a query thread: enough for the deepest statement that is let through (measured: 4 MiB
/// for half of it), and only touched as far as it is used.
const STACK_BYTES: usize = 16 << 20;
/// Threads for file reads that block.
const BLOCKING_THREADS: usize = 16;

/// The shared part of the query engine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) config: QueryConfig,
    pub(crate) gate: Gate,
    pub(crate) texts: Arc<TextIndexes>,
    pub(crate) footers: Arc<Footers>,
    /// A session without tables; questions start from a copy. An error is reported to each of them.
    base: Result<Arc<SessionState>, String>,
    /// Threads of their own: a query keeps a core busy for long, and planning recurses deeply.
    /// Present until the machine is dropped.
    threads: Option<Runtime>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            // The last question may end on one of these threads, so nothing waits for them.
            threads.shutdown_background();
        }
    }
}

impl Machine {
    pub(crate) fn new(config: QueryConfig) -> Self {
        let failed = |e: &dyn std::fmt::Display| {
            format!("cannot set up the memory, disk and threads of queries: {e}")
        };
        let base = runtime(&config)
            .map(|runtime| Arc::new(base_state(&config, runtime)))
            .map_err(|e| failed(&e));
        let (base, threads) = match threads(&config) {
            Ok(threads) => (base, Some(threads)),
            Err(e) => (Err(failed(&e)), None),
        };
        Self {
            gate: Gate::new(&config),
            footers: Arc::new(Footers::new(config.metadata_cache_bytes as u64)),
            texts: Arc::new(TextIndexes::new(config.text_cache_bytes)),
            base,
            threads,
            config,
        }
    }

    /// Where questions run.
    pub(crate) fn threads(&self) -> Result<&Handle, QueryError> {
        match (&self.threads, &self.base) {
            (Some(threads), _) => Ok(threads.handle()),
            (None, Err(e)) => Err(QueryError::Engine(e.clone())),
            (None, Ok(_)) => Err(QueryError::Busy("the engine is shutting down".to_owned())),
        }
    }

    /// The state a session starts from.
    pub(crate) fn base(&self) -> Result<&Arc<SessionState>, QueryError> {
        self.base.as_ref().map_err(|e| QueryError::Engine(e.clone()))
    }

    /// Bytes of the memory pool in use.
    pub(crate) fn memory_used(&self) -> usize {
        self.base.as_ref().map_or(0, |s| s.runtime_env().memory_pool.reserved())
    }
}

fn threads(config: &QueryConfig) -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(config.partitions.max(1))
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(STACK_BYTES)
        .thread_name("query")
        .enable_all()
        .build()
}

fn runtime(config: &QueryConfig) -> Result<Arc<RuntimeEnv>, QueryError> {
    let mode = match &config.spill_dir {
        Some(dir) => DiskManagerMode::Directories(vec![dir.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let disk = DiskManagerBuilder::default()
        .with_mode(mode)
        .with_max_temp_directory_size(config.spill_bytes);
    let pool = TrackConsumersPool::new(FairSpillPool::new(config.memory_bytes), NAMED_CONSUMERS);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(disk)
        .build_arc()
        .map_err(internal)
}

fn base_state(config: &QueryConfig, runtime: Arc<RuntimeEnv>) -> SessionState {
    let mut session = SessionConfig::new()
        .with_target_partitions(config.partitions.max(1))
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(super::catalog::CATALOG, super::catalog::SCHEMA);
    let options = session.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.sql_parser.collect_spans = true;
    options.execution.parquet.reorder_filters = true;
    // Segments carry their statistics in the catalog; collecting them again would read each footer
    // while planning.
    options.execution.collect_statistics = false;
    // First of all rules: the others see the engine's own nodes.
    let mut rules = PhysicalOptimizer::new().rules;
    rules.insert(0, Arc::new(Narrow));
    let mut state = SessionStateBuilder::new()
        .with_config(session)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rules(rules)
        .build();
    if config.use_rollups {
        let mut rules = state.optimizers().to_vec();
        let at = rules.iter().position(|r| r.name() == rollup::AFTER).map_or(0, |at| at + 1);
        rules.insert(at, Arc::new(rollup::UseRollups));
        state = SessionStateBuilder::new_from_existing(state).with_optimizer_rules(rules).build();
    }
    function::register(&mut state);
    state
}
