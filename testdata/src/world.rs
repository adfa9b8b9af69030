//! The figures derived once from the catalogue and the configuration.

pub(crate) mod resources;

use crate::catalogue::services::{BUSY_HOST, CORES, HOSTS, INSTANCES, Instance};
use crate::config::ShopConfig;
use crate::plan::Plan;
use crate::simulate;
use crate::traffic;
use resources::Resources;

/// Mean CPU utilisation of a host at the configured rate.
const MEAN_LOAD: f64 = 0.35;
/// CPU utilisation of an idle host.
pub(crate) const IDLE_LOAD: f64 = 0.03;
/// CPU utilisation of the host with the runaway process.
pub(crate) const BUSY_LOAD: f64 = 0.985;

/// A shop's data.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) config: ShopConfig,
    pub(crate) plan: Plan,
    pub(crate) resources: Resources,
    /// CPU time per user request on each instance, nanoseconds (before [`World::cpu_scale`]).
    pub(crate) cpu_per_request: [f64; INSTANCES],
    /// Cores' time used per unit of simulated processing: the hosts are sized to the rate, so a
    /// shop at two requests a second and one at two thousand show the same utilisation.
    pub(crate) cpu_scale: f64,
}

impl World {
    pub(crate) fn new(mut config: ShopConfig) -> Self {
        config.metric_interval_s = config.metric_interval_s.max(1);
        config.batch_window_s = config.batch_window_s.max(1);
        config.batch_records = config.batch_records.max(1);
        config.traces_per_second = config.traces_per_second.clamp(0.0, 1e6);
        let plan = Plan::new(config.seed, &config.incidents);
        let resources = Resources::new(&config, &plan);
        let mut world =
            Self { config, plan, resources, cpu_per_request: [0.0; INSTANCES], cpu_scale: 0.0 };
        world.cpu_per_request = simulate::calibrate(&world, 1000);
        let per_request: f64 = world.cpu_per_request.iter().sum::<f64>() / 1e9;
        let used = per_request * world.config.traces_per_second;
        if used > 0.0 {
            world.cpu_scale = MEAN_LOAD * CORES * HOSTS as f64 / used;
        }
        world
    }

    /// Cores an instance is expected to use at a second.
    pub(crate) fn expected_cores(&self, instance: Instance, second: i64) -> f64 {
        let rate = self.config.traces_per_second * traffic::rate(second, self.config.diurnal);
        self.cpu_per_request[instance.index()] / 1e9 * rate * self.cpu_scale
    }

    /// Expected CPU utilisation of a host at a second.
    pub(crate) fn expected_load(&self, host: usize, second: i64, busy: bool) -> f64 {
        if busy && host == BUSY_HOST {
            return BUSY_LOAD;
        }
        let cores: f64 = Instance::all()
            .filter(|i| i.host() == host)
            .map(|i| self.expected_cores(i, second))
            .sum();
        (IDLE_LOAD + cores / CORES).min(BUSY_LOAD)
    }
}
