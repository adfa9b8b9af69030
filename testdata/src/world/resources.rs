//! OTLP resources: instances in each of their generations, hosts, and middleware.

use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::attrs::{Attrs, text_of};
use crate::catalogue::services::{BROKER_HOST, HOST_ADDRESSES, HOST_NAMES, HOSTS, Instance};
use crate::catalogue::statements::STORES;
use crate::catalogue::versions::{next_minor, next_patch};
use crate::config::ShopConfig;
use crate::dice::mix;
use crate::plan::{Life, Plan, Version};
use crate::simulate::Home;

/// Every resource of a shop.
#[derive(Debug, Clone)]
pub(crate) struct Resources {
    /// The lives of each instance.
    instances: Vec<Vec<Resource>>,
    hosts: Vec<Resource>,
    stores: Vec<Resource>,
    broker: Resource,
}

impl Resources {
    pub(crate) fn new(config: &ShopConfig, plan: &Plan) -> Self {
        let lives = |i: Instance| {
            let lives = plan.lives(i).iter().enumerate();
            lives.map(|(n, life)| instance(config.seed, i, n as u64, life)).collect()
        };
        let instances = Instance::all().map(lives).collect();
        let hosts = (0..HOSTS).map(|h| host(config.seed, h)).collect();
        let stores = STORES.iter().map(|s| {
            let mut attrs = Attrs::with_capacity(8);
            attrs.text("server.address", s.address).int("server.port", s.port);
            attrs.text("db.system.name", s.system).text("network.peer.address", s.peer);
            push_host(config.seed, s.host, &mut attrs);
            resource(attrs)
        });
        let mut broker = Attrs::with_capacity(8);
        broker.text("server.address", "kafka.shop.svc").int("server.port", 9092);
        broker.text("messaging.system", "kafka");
        push_host(config.seed, BROKER_HOST, &mut broker);
        Self { instances, hosts, stores: stores.collect(), broker: resource(broker) }
    }

    pub(crate) fn instance(&self, home: Home) -> &Resource {
        let lives = &self.instances[home.instance.index()];
        &lives[usize::from(home.generation).min(lives.len() - 1)]
    }

    /// `service.instance.id`.
    pub(crate) fn instance_id(&self, home: Home) -> &str {
        text_of(&self.instance(home).attributes, "service.instance.id")
    }

    /// `service.version`.
    pub(crate) fn version(&self, home: Home) -> &str {
        text_of(&self.instance(home).attributes, "service.version")
    }

    pub(crate) fn host(&self, host: usize) -> &Resource {
        &self.hosts[host]
    }

    pub(crate) fn store(&self, store: usize) -> &Resource {
        &self.stores[store]
    }

    pub(crate) fn broker(&self) -> &Resource {
        &self.broker
    }
}

fn resource(attrs: Attrs) -> Resource {
    Resource { attributes: attrs.take(), dropped_attributes_count: 0, entity_refs: Vec::new() }
}

fn push_host(seed: u64, host: usize, attrs: &mut Attrs) {
    attrs.text("host.name", HOST_NAMES[host]);
    attrs.text("host.id", format!("{:032x}", wide(seed, 0x4057 + host as u64)));
    attrs.text("k8s.node.name", HOST_NAMES[host]);
    attrs.text("k8s.cluster.name", "shop-eu-1");
}

fn wide(seed: u64, what: u64) -> u128 {
    (u128::from(mix(seed, what)) << 64) | u128::from(mix(mix(seed, what), 1))
}

/// A version 4 UUID made of 128 given bits.
fn uuid(bits: u128) -> String {
    let b = (bits & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        (b >> 96) as u32,
        (b >> 80) as u16,
        (b >> 64) as u16,
        (b >> 48) as u16,
        b & 0xffff_ffff_ffff
    )
}

/// Five letters and digits as Kubernetes makes them, chosen by the bits.
fn suffix(mut bits: u64) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut out = String::with_capacity(5);
    for _ in 0..5 {
        out.push(char::from(LETTERS[(bits % 27) as usize]));
        bits /= 27;
    }
    out
}

fn instance(seed: u64, instance: Instance, number: u64, life: &Life) -> Resource {
    let service = instance.service();
    let runtime = service.language.runtime();
    // A container restarted in its pod has an id of its own.
    let container = number << 8 | u64::from(instance.0);
    let number = u64::from(life.pod) << 8 | u64::from(instance.0);
    let bits = wide(seed, 0x1_0000 + number);
    let template = mix(seed, 0x9_0000 + (number >> 8 << 8 | service.svc as u64));
    let pod = format!("{}-{:09x}-{}", service.name, template >> 28, suffix(bits as u64));
    let version = match life.version {
        Version::Usual => service.version.to_owned(),
        Version::Minor => next_minor(service.version),
        Version::Patch => next_patch(service.version),
    };
    let mut attrs = Attrs::with_capacity(24);
    attrs.text("service.name", service.name);
    attrs.text("service.namespace", "shop");
    attrs.text("service.version", version);
    attrs.text("service.instance.id", uuid(bits));
    attrs.text("deployment.environment.name", "production");
    push_host(seed, instance.host(), &mut attrs);
    attrs.text("k8s.namespace.name", "shop");
    attrs.text("k8s.deployment.name", service.name);
    attrs.text("k8s.pod.name", pod);
    attrs.text("k8s.pod.uid", uuid(bits.rotate_left(41)));
    attrs.text("k8s.pod.ip", instance.address());
    attrs.text("container.id", format!("{:032x}{:032x}", wide(seed, 0x5_0000 + container), bits));
    attrs.int("process.pid", 1 + (bits >> 90) as i64 % 7 * 6);
    attrs.text("process.executable.name", runtime.executable);
    attrs.text("process.runtime.name", runtime.name);
    attrs.text("process.runtime.version", runtime.version);
    attrs.text("telemetry.sdk.name", "opentelemetry");
    attrs.text("telemetry.sdk.language", runtime.sdk);
    attrs.text("telemetry.sdk.version", runtime.sdk_version);
    resource(attrs)
}

fn host(seed: u64, host: usize) -> Resource {
    let mut attrs = Attrs::with_capacity(10);
    push_host(seed, host, &mut attrs);
    attrs.text("host.arch", "amd64").text("os.type", "linux");
    attrs.list("host.ip", &[HOST_ADDRESSES[host]]);
    resource(attrs)
}
