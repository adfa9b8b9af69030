//! Draws a random system.

use super::system::{
    Call, Dialect, Engine, Operation, Protocol, Queue, Runtime, Service, Statement, Step, Store,
    System,
};
use crate::dice::{Whims, mix};

const SYLLABLES: [&str; 24] = [
    "ar", "bel", "cor", "dan", "el", "fir", "gal", "hor", "in", "jas", "kel", "lum", "mor", "nav",
    "ol", "per", "quil", "ros", "sil", "tor", "ul", "ver", "wen", "zan",
];
const ENDINGS: [&str; 8] = ["-api", "-svc", "", "-service", "-worker", "d", "-backend", "-gateway"];
const NOUNS: [&str; 16] = [
    "accounts", "ledgers", "parcels", "tickets", "devices", "grants", "journeys", "invoices",
    "readings", "tokens", "claims", "lessons", "seats", "plots", "routes", "votes",
];
/// Spans of an operation's trace, at most, in the mean.
const MOST_SPANS: f64 = 28.0;

pub(super) struct Draw(pub(super) Whims);

impl Draw {
    pub(super) fn below(&mut self, count: usize) -> usize {
        ((self.0.unit() * count as f64) as usize).min(count.saturating_sub(1))
    }

    pub(super) fn pick<T: Clone>(&mut self, list: &[T]) -> Option<T> {
        list.get(self.below(list.len())).cloned()
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.unit()
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.0.unit() < share
    }

    fn word(&mut self, syllables: usize) -> String {
        (0..syllables).map(|_| SYLLABLES[self.below(SYLLABLES.len())]).collect()
    }
}

/// Draws a system.
pub(super) fn draw(seed: u64) -> System {
    let mut draw = Draw(Whims::new(mix(seed, 0x5e7)));
    let hosts: Vec<String> =
        (0..3 + draw.below(8)).map(|n| format!("ip-10-0-{}-{}", n / 4, 11 + n)).collect();
    let count = 6 + draw.below(25);
    let mut system = System {
        services: services(count, hosts.len(), &mut draw),
        operations: Vec::new(),
        stores: stores(count, hosts.len(), &mut draw),
        statements: Vec::new(),
        outside: (0..1 + draw.below(3)).map(|_| format!("api.{}.example", draw.word(3))).collect(),
        queues: Vec::new(),
        hosts,
        entries: Vec::new(),
        exporters: draw.chance(0.5),
    };
    // From the leaves to the front, so that what is called is there.
    let mut spans: Vec<f64> = Vec::new();
    for service in (0..count).rev() {
        for number in 0..1 + draw.below(3) {
            let operation = operation(&mut system, service, number, &mut spans, &mut draw);
            system.operations.push(operation);
        }
    }
    call_the_uncalled(&mut system);
    queues(&mut system, &mut draw);
    let fronts = if count > 12 && draw.chance(0.5) { 2 } else { 1 };
    let first: Vec<usize> =
        (0..system.operations.len()).filter(|at| system.operations[*at].service < fronts).collect();
    system.entries = first.iter().map(|at| (*at, draw.between(1.0, 5.0))).collect();
    system
}

fn services(count: usize, hosts: usize, draw: &mut Draw) -> Vec<Service> {
    let mut all: Vec<Service> = Vec::new();
    while all.len() < count {
        let name = format!("{}{}", draw.word(2), ENDINGS[draw.below(ENDINGS.len())]);
        if all.iter().any(|other| other.name == name) {
            continue;
        }
        let runtimes = [
            Runtime::Java,
            Runtime::Java,
            Runtime::Go,
            Runtime::Node,
            Runtime::Python,
            Runtime::Dotnet,
        ];
        let dialects = [Dialect::Stable, Dialect::Old, Dialect::Prometheus, Dialect::Kubelet];
        let first = draw.below(hosts);
        let replicas = 1 + draw.below(4).min(hosts - 1);
        all.push(Service {
            name,
            runtime: runtimes[draw.below(runtimes.len())],
            dialect: dialects[draw.below(dialects.len())],
            version: [draw.below(6) as u32, draw.below(30) as u32, draw.below(9) as u32],
            hosts: (0..replicas).map(|replica| (first + replica) % hosts).collect(),
            pool: None,
            memory: draw.between(60.0, 1500.0) * 1_048_576.0,
        });
    }
    all
}

fn stores(count: usize, hosts: usize, draw: &mut Draw) -> Vec<Store> {
    (0..2 + count / 6)
        .map(|number| {
            let engines = [Engine::Postgres, Engine::Redis, Engine::Mysql];
            let engine = engines[if number < 2 { number } else { draw.below(3) }];
            let namespace = draw.word(2);
            Store {
                engine,
                address: format!("{}-{number}.data.internal", &namespace),
                namespace,
                host: draw.below(hosts),
            }
        })
        .collect()
}

/// One operation of a service, with the statements it asks.
fn operation(
    system: &mut System,
    service: usize,
    number: usize,
    spans: &mut Vec<f64>,
    draw: &mut Draw,
) -> Operation {
    let front = service == 0;
    let noun = NOUNS[(service + number * 5) % NOUNS.len()];
    let protocol = if front || draw.chance(0.6) { Protocol::Http } else { Protocol::Grpc };
    let name = match protocol {
        Protocol::Grpc => format!("{}.v1.{noun}/Get{number}", system.services[service].name),
        _ => format!("{} /{noun}/{number}", if draw.chance(0.7) { "GET" } else { "POST" }),
    };
    let mut steps = Vec::new();
    let mut size = 1.0;
    let calls: Vec<usize> = (0..system.operations.len())
        .filter(|at| system.operations[*at].service > service)
        .collect();
    for _ in 0..if front { 3 } else { draw.below(4) } {
        let mut together = Vec::new();
        for _ in 0..1 + usize::from(draw.chance(0.3)) {
            let Some(operation) = draw.pick(&calls) else { continue };
            let chance = if draw.chance(0.6) { 1.0 } else { draw.between(0.3, 0.9) };
            if size + 2.0 * chance * spans[operation] <= MOST_SPANS {
                size += chance * (1.0 + spans[operation]);
                together.push(Call { operation, chance, optional: draw.chance(0.25) });
            }
        }
        if !together.is_empty() {
            steps.push(Step::Calls(together));
        }
    }
    for _ in 0..if front { 0 } else { draw.below(3) } {
        steps.push(Step::Query(statement(system, service, draw)));
        size += 1.0;
    }
    if !front && draw.chance(0.08) {
        steps.push(Step::Outside(draw.below(system.outside.len())));
        size += 1.0;
    }
    spans.push(size);
    Operation {
        service,
        name,
        protocol,
        work_us: draw.between(400.0, 6000.0),
        sigma: draw.between(0.2, 0.6),
        cpu: draw.between(0.4, 0.95),
        fails: if draw.chance(0.2) { draw.between(0.0005, 0.006) } else { 0.0 },
        steps,
    }
}

/// A statement of the service, one it has or a new one.
fn statement(system: &mut System, service: usize, draw: &mut Draw) -> usize {
    let own: Vec<usize> = (0..system.statements.len())
        .filter(|at| system.statements[*at].service == service)
        .collect();
    if own.len() >= 4 {
        return own[draw.below(own.len())];
    }
    let store = (service * 7 + draw.below(2)) % system.stores.len();
    let engine = system.stores[store].engine;
    let table = format!("{}_{}", system.services[service].name.replace('-', "_"), own.len());
    let (verb, text, writes) = match (engine, draw.below(4)) {
        (Engine::Redis, 0) => ("SET", "SET ?".to_owned(), true),
        (Engine::Redis, 1) => ("HGETALL", "HGETALL ?".to_owned(), false),
        (Engine::Redis, _) => ("GET", "GET ?".to_owned(), false),
        (_, 0) => ("INSERT", format!("INSERT INTO {table} (id, body) VALUES (?, ?)"), true),
        (_, 1) => ("UPDATE", format!("UPDATE {table} SET body = ? WHERE id = ?"), true),
        _ => ("SELECT", format!("SELECT id, body FROM {table} WHERE id = ?"), false),
    };
    let redis = engine == Engine::Redis;
    if !redis {
        system.services[service].pool.get_or_insert(store);
    }
    system.statements.push(Statement {
        store,
        service,
        verb,
        table: if redis { String::new() } else { table },
        text,
        median_us: if redis { 250.0 } else { draw.between(600.0, 9000.0) },
        writes,
    });
    system.statements.len() - 1
}

/// Whoever nobody calls is called by the front.
fn call_the_uncalled(system: &mut System) {
    let mut called = vec![false; system.services.len()];
    for step in system.operations.iter().flat_map(|op| &op.steps) {
        if let Step::Calls(calls) = step {
            calls.iter().for_each(|call| called[system.operations[call.operation].service] = true);
        }
    }
    let fronts: Vec<usize> =
        (0..system.operations.len()).filter(|at| system.operations[*at].service == 0).collect();
    for service in (1..called.len()).filter(|service| !called[*service]).collect::<Vec<_>>() {
        let own = (0..system.operations.len()).find(|at| system.operations[*at].service == service);
        if let Some(operation) = own {
            let front = fronts[service % fronts.len()];
            let call = Call { operation, chance: 0.25, optional: false };
            system.operations[front].steps.push(Step::Calls(vec![call]));
        }
    }
}

/// A queue or two, read by an operation of a service far from the front.
fn queues(system: &mut System, draw: &mut Draw) {
    for number in 0..1 + draw.below(2) {
        let service = system.services.len() - 1 - draw.below(system.services.len() / 2);
        let topic = format!("{}-events", NOUNS[draw.below(NOUNS.len())]);
        let query = statement(system, service, draw);
        let reader = system.operations.len();
        system.operations.push(Operation {
            service,
            name: topic.clone(),
            protocol: Protocol::Consumer,
            work_us: 1500.0,
            sigma: 0.4,
            cpu: 0.7,
            fails: 0.0,
            steps: vec![Step::Query(query)],
        });
        system.queues.push(Queue {
            address: format!("broker-{number}.data.internal"),
            topic,
            reader,
        });
        let senders: Vec<usize> = (0..reader)
            .filter(|at| system.operations[*at].protocol != Protocol::Consumer)
            .filter(|at| system.operations[*at].service < service)
            .collect();
        if let Some(sender) = draw.pick(&senders) {
            system.operations[sender].steps.push(Step::Publish(number));
        }
    }
}
