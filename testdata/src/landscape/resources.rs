//! What a process says of itself, by how it is instrumented.

use opentelemetry_proto::tonic::resource::v1::Resource;

use super::plan::Plan;
use super::system::{Dialect, Runtime};
use crate::attrs::Attrs;
use crate::dice::mix;

/// The version of a service: 0 is the usual one, 1 a faulty release, 2 a harmless one.
pub(super) fn version(plan: &Plan, service: usize, release: u8) -> String {
    let [major, minor, patch] = plan.system.services[service].version;
    match release {
        0 => format!("{major}.{minor}.{patch}"),
        1 => format!("{major}.{}.0", minor + 1),
        _ => format!("{major}.{minor}.{}", patch + 1),
    }
}

fn bits(plan: &Plan, service: usize, replica: usize, release: u8) -> u64 {
    mix(mix(plan.seed, (service * 16 + replica) as u64), u64::from(release))
}

/// The pod; a release has a replica set of its own.
pub(super) fn pod(plan: &Plan, service: usize, replica: usize, release: u8) -> String {
    let set = mix(mix(plan.seed, 0x5e7 + service as u64), u64::from(release));
    let own = bits(plan, service, replica, release);
    let name = &plan.system.services[service].name;
    format!("{name}-{:09x}-{:05x}", set & 0xf_ffff_ffff, own & 0xf_ffff)
}

/// What tells an instance from the others in its spans; empty if nothing does.
pub(super) fn instance_id(plan: &Plan, service: usize, replica: usize, release: u8) -> String {
    let own = bits(plan, service, replica, release);
    match plan.system.services[service].dialect {
        Dialect::Stable => format!("{own:016x}"),
        Dialect::Prometheus => format!("10.0.{replica}.{}:9464", 20 + service),
        Dialect::Kubelet => pod(plan, service, replica, release),
        Dialect::Old => String::new(),
    }
}

pub(super) fn resource(attrs: Attrs) -> Resource {
    Resource { attributes: attrs.take(), dropped_attributes_count: 0, entity_refs: Vec::new() }
}

/// The resource of an instance's spans and logs.
pub(super) fn instance(plan: &Plan, service: usize, replica: usize, release: u8) -> Resource {
    let facts = &plan.system.services[service];
    let host = plan.system.hosts[facts.hosts[replica]].clone();
    let mut attrs = Attrs::with_capacity(9);
    attrs.text("service.name", facts.name.clone());
    attrs.text("telemetry.sdk.language", language(facts.runtime));
    match facts.dialect {
        Dialect::Stable => {
            attrs.text("service.version", version(plan, service, release));
            attrs.text("service.instance.id", instance_id(plan, service, replica, release));
            attrs.text("host.name", host.clone()).text("k8s.node.name", host);
            attrs.text("k8s.pod.name", pod(plan, service, replica, release));
        }
        Dialect::Old => {
            attrs.text("service.version", version(plan, service, release));
            attrs.text("host.name", host);
        }
        Dialect::Prometheus => {
            attrs.text("service.version", version(plan, service, release));
            attrs.text("service.instance.id", instance_id(plan, service, replica, release));
        }
        Dialect::Kubelet => {
            attrs.text("container.image.tag", version(plan, service, release));
            attrs.text("k8s.namespace.name", "prod").text("k8s.node.name", host);
            attrs.text("k8s.pod.name", pod(plan, service, replica, release));
        }
    }
    resource(attrs)
}

/// The resource under which the kubelet or cAdvisor reports a container.
pub(super) fn container(plan: &Plan, service: usize, replica: usize, release: u8) -> Resource {
    let facts = &plan.system.services[service];
    let host = plan.system.hosts[facts.hosts[replica]].clone();
    let mut attrs = Attrs::with_capacity(5);
    attrs.text("k8s.namespace.name", "prod").text("k8s.node.name", host);
    attrs.text("k8s.pod.name", pod(plan, service, replica, release));
    attrs.text("k8s.container.name", facts.name.clone());
    resource(attrs)
}

pub(super) fn host(plan: &Plan, host: usize) -> Resource {
    let mut attrs = Attrs::with_capacity(2);
    let name = plan.system.hosts[host].clone();
    attrs.text("host.name", name.clone()).text("k8s.node.name", name);
    resource(attrs)
}

pub(super) fn store(plan: &Plan, store: usize) -> Resource {
    let facts = &plan.system.stores[store];
    let mut attrs = Attrs::with_capacity(5);
    attrs.text("server.address", facts.address.clone()).int("server.port", facts.engine.port());
    attrs.text("db.system.name", facts.engine.system());
    attrs.text("host.name", plan.system.hosts[facts.host].clone());
    resource(attrs)
}

const fn language(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Java => "java",
        Runtime::Go => "go",
        Runtime::Node => "nodejs",
        Runtime::Python => "python",
        Runtime::Dotnet => "dotnet",
    }
}
