//! Whose metrics are whose: services, stores and hosts of call chains, found again by what metrics say of where they
//! were measured.
//!
//! Keys are tried from the most exact one: the container, the instance, the pod, then names. Agents and exporters name
//! what they watch in attributes of their own; where a value there is one of the names that spans have, that is who is
//! meant. What no span names is nobody's, but for containers on a known host, which are its neighbours.

pub(super) mod series;
pub(super) mod signal;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use headrope_analysis::verdict::Owner;

use self::series::Series;
use self::signal::Side;
use super::chains::Place;

/// Attributes by which agents and exporters name what they watch, the most exact ones first.
const KEYS: [&str; 21] = [
    "container.id",
    "service.instance.id",
    "k8s.pod.name",
    "pod",
    "pod_name",
    "podname",
    "k8s.container.name",
    "container.name",
    "container",
    "container_name",
    "container_label_com_docker_compose_service",
    "k8s.deployment.name",
    "deployment",
    "workload",
    "service.name",
    "service",
    "app",
    "job",
    "instance",
    "name",
    "id",
];

/// Attributes that name a host.
const HOST_KEYS: [&str; 10] = [
    "host.name",
    "k8s.node.name",
    "host.id",
    "node",
    "node_name",
    "nodename",
    "hostname",
    "host",
    "kubernetes_node",
    "instance",
];

/// Of these, those that a series of a process has for the host it ran on.
const NODE_KEYS: [&str; 4] = ["node", "node_name", "nodename", "kubernetes_node"];

/// What a series says of where it was measured.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) service: Option<&'a str>,
    pub(super) instance: Option<&'a str>,
    pub(super) container: Option<&'a str>,
    pub(super) pod: Option<&'a str>,
    pub(super) host: Option<&'a str>,
    pub(super) node: Option<&'a str>,
    /// Attributes of the series and of its resource.
    pub(super) labels: &'a HashMap<String, String>,
}

/// By what a series was found to be somebody's, the most exact first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Join {
    Container,
    Instance,
    Pod,
    Name,
}

impl Join {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Instance => "instance",
            Self::Pod => "pod",
            Self::Name => "name",
        }
    }
}

/// A service, by one of its instances if that is known, and by what.
type Whose = (Arc<str>, Option<Arc<str>>, Join);

/// Services, stores and hosts that call chains know.
#[derive(Debug, Default)]
pub(super) struct Entities {
    services: BTreeSet<Arc<str>>,
    /// Service and instance of a container, instance or pod.
    places: HashMap<Arc<str>, Whose>,
    hosts: BTreeSet<Arc<str>>,
    peers: BTreeSet<Arc<str>>,
    collector: Option<Arc<str>>,
}

impl Entities {
    /// Of places, and of what is called and sends no spans.
    pub(super) fn of<'a>(
        places: impl Iterator<Item = &'a Place>,
        peers: BTreeSet<Arc<str>>,
    ) -> Self {
        let places: Vec<&Place> = places.collect();
        let hosts = hosts_of(places.iter().copied()).into_values().flatten().collect();
        let collector = collector_host(places.iter().copied());
        let mut all = Self { peers, hosts, collector, ..Self::default() };
        for place in places {
            all.services.insert(Arc::clone(&place.service));
            let instance = place.instance.as_ref().or(place.pod.as_ref());
            let keys = [
                (&place.container, Join::Container),
                (&place.instance, Join::Instance),
                (&place.pod, Join::Pod),
            ];
            for (key, by) in keys {
                let Some(key) = key else { continue };
                let known = (Arc::clone(&place.service), instance.cloned(), by);
                all.places.entry(Arc::clone(key)).or_insert(known);
            }
        }
        all
    }

    /// Hosts of services and stores by what their series say, which are known from then on.
    pub(super) fn learn_hosts<'a>(
        &mut self,
        series: impl Iterator<Item = &'a Series>,
    ) -> BTreeMap<Arc<str>, BTreeSet<Arc<str>>> {
        let mut learned: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
        for one in series.filter(|one| one.signal.side != Side::Host) {
            let subject = subject(&one.labels);
            let label = |key: &&str| one.labels.get(*key).map(String::as_str);
            let named = subject.node.or(subject.host).or_else(|| NODE_KEYS.iter().find_map(label));
            let Some(host) = named.filter(|host| Some(*host) != self.collector.as_deref()) else {
                continue;
            };
            for (owner, _) in self.owners(one.signal.side, &subject) {
                if let Owner::Service(name, _) | Owner::Store(name) = owner {
                    learned.entry(name).or_default().insert(host.into());
                }
            }
        }
        self.hosts.extend(learned.values().flatten().cloned());
        learned
    }

    /// Who a series is of, and by what.
    pub(super) fn owners(&self, side: Side, subject: &Subject<'_>) -> Vec<(Owner, Join)> {
        let named = |owner| (owner, Join::Name);
        match side {
            Side::Host => self.host(subject).map(Owner::Host).map(named).into_iter().collect(),
            Side::Store(systems) => match self.stores(systems, subject) {
                stores if stores.is_empty() => self.process(subject).into_iter().collect(),
                stores => stores.into_iter().map(named).collect(),
            },
            Side::Process => self.process(subject).into_iter().collect(),
        }
    }

    fn process(&self, subject: &Subject<'_>) -> Option<(Owner, Join)> {
        let label = |key: &&str| subject.labels.get(*key).map(String::as_str);
        let exact = [subject.container, subject.instance, subject.pod];
        let all = || exact.into_iter().flatten().chain(KEYS.iter().filter_map(label));
        if let Some((service, instance, by)) = all().find_map(|value| self.places.get(value)) {
            return Some((Owner::Service(Arc::clone(service), instance.clone()), *by));
        }
        let named = subject.service.into_iter().chain(all());
        let mut named = named.flat_map(|value| [Some(value), workload(value)]).flatten();
        let instance = subject.instance.or(subject.pod).map(Arc::from);
        let owner = named.find_map(|name| match self.services.get(name) {
            Some(service) => Some(Owner::Service(Arc::clone(service), instance.clone())),
            // Pods of a store are named after the address it is called by.
            None => self.peers.iter().find(|peer| addresses(peer, name)).cloned().map(Owner::Store),
        });
        let is_container = subject.container.or(subject.pod).is_some()
            || ["container", "container.name", "container_name", "pod", "k8s.container.name"]
                .iter()
                .any(|key| subject.labels.contains_key(*key));
        let neighbour = || {
            let host = is_container.then(|| self.host(subject)).flatten();
            host.filter(|host| self.hosts.contains(host)).map(Owner::Host)
        };
        owner.or_else(neighbour).map(|owner| (owner, Join::Name))
    }

    /// A host that spans name, otherwise as the series names it.
    fn host(&self, subject: &Subject<'_>) -> Option<Arc<str>> {
        let label = |key: &&str| subject.labels.get(*key).map(String::as_str);
        let all = || {
            let named = [subject.host, subject.node];
            named.into_iter().flatten().chain(HOST_KEYS.iter().filter_map(label))
        };
        let known = |value: &str| {
            let bare = value.rsplit_once(':').map_or(value, |(host, _)| host);
            self.hosts.get(value).or_else(|| self.hosts.get(bare)).cloned()
        };
        all().find_map(known).or_else(|| all().next().map(Arc::from))
    }

    /// The stores of a system: those whose name has a word that the series has as a value, otherwise all.
    fn stores(&self, systems: &[&str], subject: &Subject<'_>) -> Vec<Owner> {
        let is_of =
            |peer: &&Arc<str>| systems.contains(&peer.split(' ').next().unwrap_or_default());
        let all: Vec<&Arc<str>> = self.peers.iter().filter(is_of).collect();
        let values: Vec<&str> = [subject.host, subject.instance, subject.pod, subject.service]
            .into_iter()
            .flatten()
            .chain(subject.labels.values().map(String::as_str))
            .collect();
        let named = |peer: &&&Arc<str>| {
            let value = |value: &&str| {
                let bare = value.rsplit_once(':').map_or(*value, |(host, _)| host);
                addresses(peer, value) || addresses(peer, bare)
            };
            values.iter().any(value)
        };
        let some: Vec<&Arc<str>> = all.iter().filter(named).copied().collect();
        let chosen = if some.is_empty() { all } else { some };
        chosen.into_iter().cloned().map(Owner::Store).collect()
    }
}

/// The host that all spans name though they run on several, which their nodes or pods tell: that of a collector that adds
/// its own.
pub(super) fn collector_host<'a>(places: impl Iterator<Item = &'a Place>) -> Option<Arc<str>> {
    /// Services from which on one host is suspicious.
    const MANY: usize = 3;
    let (mut hosts, mut services, mut nodes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for place in places {
        hosts.insert(place.host.as_ref());
        services.insert(&place.service);
        nodes.extend(&place.node);
    }
    match (hosts.first(), hosts.len()) {
        (Some(Some(host)), 1) if services.len() >= MANY && nodes.len() > 1 => {
            Some(Arc::clone(host))
        }
        _ => None,
    }
}

/// Hosts of each service: those its spans name, but for a collector's, and the nodes of its pods.
pub(super) fn hosts_of<'a>(
    places: impl Iterator<Item = &'a Place> + Clone,
) -> BTreeMap<Arc<str>, BTreeSet<Arc<str>>> {
    let collector = collector_host(places.clone());
    let mut all: BTreeMap<Arc<str>, BTreeSet<Arc<str>>> = BTreeMap::new();
    for place in places {
        let hosts = all.entry(Arc::clone(&place.service)).or_default();
        let named = place.host.iter().filter(|host| Some(*host) != collector.as_ref());
        hosts.extend(named.chain(&place.node).cloned());
    }
    all
}

/// What a series says of where it was measured.
pub(super) fn subject(labels: &HashMap<String, String>) -> Subject<'_> {
    let label = |key: &str| labels.get(key).map(String::as_str).filter(|value| !value.is_empty());
    Subject {
        service: label("service.name"),
        instance: label("service.instance.id"),
        container: label("container.id"),
        pod: label("k8s.pod.name"),
        host: label("host.name"),
        node: label("k8s.node.name"),
        labels,
    }
}

/// Whether a peer's name has a namespace or an address of that name.
fn addresses(peer: &str, name: &str) -> bool {
    let mut words = peer.split(' ').skip(1);
    !name.is_empty()
        && words.any(|word| {
            let host = word.split(':').next().unwrap_or_default();
            word == name || host == name || host.split('.').next() == Some(name)
        })
}

/// The deployment of a pod: its name without the hash of the replica set and its own; of a stateful set without its
/// number.
fn workload(pod: &str) -> Option<&str> {
    let (rest, last) = pod.rsplit_once('-')?;
    if !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) {
        return Some(rest);
    }
    let (rest, hash) = rest.rsplit_once('-')?;
    let is_hash = |text: &str, least: usize| {
        text.len() >= least && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    (is_hash(last, 5) && is_hash(hash, 6)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(
        service: &str,
        instance: Option<&str>,
        pod: Option<&str>,
        host: Option<&str>,
    ) -> Place {
        let text = |text: Option<&str>| text.map(Arc::from);
        Place {
            service: service.into(),
            version: None,
            instance: text(instance),
            container: None,
            pod: text(pod),
            host: text(host),
            node: None,
        }
    }

    fn entities() -> Entities {
        let places = [
            place("cart", Some("cart-1"), Some("cart-7d9c6b5f4-x2x4z"), Some("node-a")),
            place("price", None, None, Some("node-b")),
        ];
        let peers = [
            "postgresql shop pg-main:5432",
            "postgresql users pg-users:5432",
            "redis redis-cart:6379",
        ];
        Entities::of(places.iter(), peers.into_iter().map(Arc::from).collect())
    }

    fn owners(side: Side, labels: &[(&str, &str)], subject: Subject<'_>) -> Vec<Owner> {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let found = entities().owners(side, &Subject { labels: &labels, ..subject });
        found.into_iter().map(|(owner, _)| owner).collect()
    }

    #[test]
    fn the_most_exact_key_decides() {
        let none = HashMap::new();
        let subject = || Subject { labels: &none, ..empty(&none) };
        let cart = vec![Owner::Service("cart".into(), Some("cart-1".into()))];
        let by_pod =
            Subject { pod: Some("cart-7d9c6b5f4-x2x4z"), service: Some("kubelet"), ..subject() };
        assert_eq!(owners(Side::Process, &[], by_pod), cart);
        assert_eq!(owners(Side::Process, &[("pod", "cart-7d9c6b5f4-x2x4z")], subject()), cart);
        // Another pod of the same deployment.
        let other = Subject { pod: Some("cart-7d9c6b5f4-aaaaa"), ..subject() };
        let expected = Owner::Service("cart".into(), Some("cart-7d9c6b5f4-aaaaa".into()));
        assert_eq!(owners(Side::Process, &[], other), [expected]);
        let named = [Owner::Service("price".into(), None)];
        assert_eq!(
            owners(Side::Process, &[("container", "price"), ("job", "cadvisor")], subject()),
            named
        );
        // A container that is none of the services is its host's.
        let batch = Subject { pod: Some("batch-1"), host: Some("node-b"), ..subject() };
        assert_eq!(owners(Side::Process, &[], batch), [Owner::Host("node-b".into())]);
        assert_eq!(owners(Side::Process, &[("pod", "batch-1"), ("node", "far")], subject()), []);
    }

    fn empty(labels: &HashMap<String, String>) -> Subject<'_> {
        let (service, instance, container) = (None, None, None);
        Subject { service, instance, container, pod: None, host: None, node: None, labels }
    }

    #[test]
    fn stores_are_told_apart_by_address_and_namespace() {
        let none = HashMap::new();
        let postgres = Side::Store(&["postgresql"]);
        let shop = Owner::Store("postgresql shop pg-main:5432".into());
        let users = Owner::Store("postgresql users pg-users:5432".into());
        assert_eq!(
            owners(postgres, &[("postgresql.database.name", "shop")], empty(&none)),
            std::slice::from_ref(&shop)
        );
        assert_eq!(
            owners(postgres, &[("instance", "pg-users:9187")], empty(&none)),
            std::slice::from_ref(&users)
        );
        assert_eq!(owners(postgres, &[], empty(&none)), [shop, users]);
        let redis = Subject { pod: Some("redis-cart-0"), ..empty(&none) };
        assert_eq!(
            owners(Side::Process, &[], redis),
            [Owner::Store("redis redis-cart:6379".into())]
        );
    }

    #[test]
    fn hosts_are_those_of_spans_by_any_name() {
        let none = HashMap::new();
        assert_eq!(
            owners(Side::Host, &[("instance", "node-a:9100")], empty(&none)),
            [Owner::Host("node-a".into())]
        );
        let far = Subject { host: Some("far"), ..empty(&none) };
        assert_eq!(owners(Side::Host, &[], far), [Owner::Host("far".into())]);
    }

    #[test]
    fn a_host_that_all_name_is_a_collectors() {
        let of = |service, node: &str| Place {
            node: Some(node.into()),
            ..place(service, None, None, Some("otel-collector"))
        };
        let places = [of("a", "one"), of("b", "two"), of("c", "two")];
        assert_eq!(collector_host(places.iter()).as_deref(), Some("otel-collector"));
        let hosts = hosts_of(places.iter());
        assert!(hosts.values().flatten().all(|host| &**host != "otel-collector"), "{hosts:?}");
        // On one node it may be the host that all run on.
        let places = [of("a", "one"), of("b", "one"), of("c", "one")];
        assert_eq!(collector_host(places.iter()), None);
    }

    #[test]
    fn workloads_of_pods() {
        for (pod, expected) in [
            ("cart-7d9c6b5f4-x2x4z", Some("cart")),
            ("my-own-service-5f6585d649-fnmft", Some("my-own-service")),
            ("redis-0", Some("redis")),
            ("cart", None),
            ("cart-service", None),
        ] {
            assert_eq!(workload(pod), expected, "{pod}");
        }
    }
}
