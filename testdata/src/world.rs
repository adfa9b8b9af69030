//! The figures derived once from the catalogue and the configuration.

pub(crate) mod resources;

use crate::catalogue::ops::ENTRIES;
use crate::catalogue::services::{
    BUSY_LOAD, CORES, HOSTS, INSTANCES, Instance, REPLICAS, SERVICES,
};
use crate::config::{Incident, ShopConfig};
use crate::plan::{Moment, Plan};
use crate::simulate;
use crate::traffic;
use resources::Resources;

/// Mean CPU utilisation of a host at the configured rate.
const MEAN_LOAD: f64 = 0.35;
/// CPU utilisation of an idle host.
pub(crate) const IDLE_LOAD: f64 = 0.03;
/// CPU utilisation of a host that a neighbour fills, at most: a container yields to the others.
pub(crate) const NEIGHBOUR_LOAD: f64 = 0.965;

/// A shop's data.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) config: ShopConfig,
    pub(crate) plan: Plan,
    pub(crate) resources: Resources,
    /// CPU time per user request on each instance, nanoseconds (before [`World::cpu_scale`]).
    pub(crate) cpu_per_request: [f64; INSTANCES],
    /// The same of each service, by entry operation.
    pub(crate) cpu_by_entry: [[f64; SERVICES.len()]; ENTRIES.len()],
    /// Cores' time used per unit of simulated processing: the hosts are sized to the rate, so a
    /// shop at two requests a second and one at two thousand show the same utilisation.
    pub(crate) cpu_scale: f64,
    /// Whether processing ignores surges: what the same requests would take with instances enough.
    pub(crate) calm: bool,
}

impl World {
    pub(crate) fn new(mut config: ShopConfig) -> Self {
        config.metric_interval_s = config.metric_interval_s.max(1);
        config.batch_window_s = config.batch_window_s.max(1);
        config.batch_records = config.batch_records.max(1);
        config.traces_per_second = config.traces_per_second.clamp(0.0, 1e6);
        let plan = Plan::new(&config);
        config.optional_metrics |= plan.needs_optional_metrics();
        let resources = Resources::new(&config, &plan);
        let mut world = Self {
            config,
            plan,
            resources,
            cpu_per_request: [0.0; INSTANCES],
            cpu_by_entry: [[0.0; SERVICES.len()]; ENTRIES.len()],
            cpu_scale: 0.0,
            calm: false,
        };
        let used = simulate::calibrate(&world, 1000);
        world.cpu_by_entry = used;
        for (index, per_request) in world.cpu_per_request.iter_mut().enumerate() {
            // Instances of a service share its load evenly.
            let of_service = used.iter().map(|of_entry| of_entry[index / REPLICAS]);
            *per_request = of_service.sum::<f64>() / REPLICAS as f64;
        }
        let per_request: f64 = world.cpu_per_request.iter().sum::<f64>() / 1e9;
        let used = per_request * world.config.traces_per_second;
        if used > 0.0 {
            world.cpu_scale = MEAN_LOAD * CORES * HOSTS as f64 / used;
        }
        world
    }

    /// The load of each service relative to its usual load at the same time of day, when the entry
    /// operations arrive at these relative rates.
    pub(crate) fn ratios(&self, arrivals: &[f64; ENTRIES.len()]) -> [f64; SERVICES.len()] {
        let mut ratios = [1.0; SERVICES.len()];
        for (service, ratio) in ratios.iter_mut().enumerate() {
            let usual: f64 = self.cpu_by_entry.iter().map(|e| e[service]).sum();
            let now: f64 =
                self.cpu_by_entry.iter().zip(arrivals).map(|(e, f)| e[service] * f).sum();
            if usual > 0.0 {
                *ratio = now / usual;
            }
        }
        ratios
    }

    /// Expected CPU utilisation of a host by the shop's own instances at a second, at most
    /// [`BUSY_LOAD`]; `ratios` as [`World::ratios`] gives them.
    fn own_load(&self, host: usize, second: i64, ratios: &[f64; SERVICES.len()]) -> f64 {
        let rate = self.config.traces_per_second * traffic::rate(second, self.config.diurnal);
        let cores: f64 = Instance::all()
            .filter(|i| i.host() == host)
            .map(|i| self.cpu_per_request[i.index()] * ratios[i.index() / REPLICAS])
            .sum::<f64>()
            / 1e9
            * rate
            * self.cpu_scale;
        (IDLE_LOAD + cores / CORES).min(BUSY_LOAD)
    }

    /// Expected CPU utilisation of a host at a second.
    pub(crate) fn expected_load(
        &self,
        host: usize,
        second: i64,
        moment: &Moment,
        ratios: &[f64; SERVICES.len()],
    ) -> f64 {
        use crate::plan::spot::Spot;
        let own = self.own_load(host, second, ratios);
        if let Some(load) = moment.strength(Incident::Cpu, Spot::Host(host)) {
            return own.max(load.min(0.999));
        }
        match moment.strength(Incident::NoisyNeighbour, Spot::Host(host)) {
            Some(cores) => own.max((own + cores / CORES).min(NEIGHBOUR_LOAD)),
            None => own,
        }
    }

    /// Part of the arrivals that each entry operation usually has.
    pub(crate) fn entry_shares() -> [f64; ENTRIES.len()] {
        let all: u32 = ENTRIES.iter().map(|e| e.1).sum();
        ENTRIES.map(|entry| f64::from(entry.1) / f64::from(all))
    }
}
