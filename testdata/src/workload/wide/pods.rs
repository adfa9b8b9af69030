//! Services and the pods they run in.

use std::fmt::Write as _;

use opentelemetry_proto::tonic::resource::v1::Resource;

use super::super::fill::filled;
use crate::attrs::Attrs;
use crate::dice::{Dice, mix};

/// A service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) language: &'static str,
    /// Version of the instrumentation.
    pub(super) sdk: &'static str,
    runtime: &'static str,
    runtime_version: &'static str,
    command: &'static str,
}

const fn service(
    name: &'static str,
    language: &'static str,
    runtime: &'static str,
    runtime_version: &'static str,
    command: &'static str,
) -> Service {
    Service { name, language, sdk: "2.14.0", runtime, runtime_version, command }
}

const JAVA: &str = "/opt/java/openjdk/bin/java -javaagent:/otel/opentelemetry-javaagent.jar -XX:MaxRAMPercentage=75.0 -jar /app/service.jar";
const NODE: &str = "/usr/local/bin/node --require @opentelemetry/auto-instrumentations-node/register /srv/app/dist/main.js";
const PYTHON: &str =
    "/usr/local/bin/python -m gunicorn --workers 8 --bind 0.0.0.0:8080 service.wsgi:application";
const GO: &str = "/usr/local/bin/service --config /etc/service/config.yaml --log-format json";

pub(super) const SERVICES: [Service; 12] = [
    service("api-gateway", "go", "go", "go1.24.2", GO),
    service("account-service", "java", "OpenJDK Runtime Environment", "21.0.6+7-LTS", JAVA),
    service("billing-service", "java", "OpenJDK Runtime Environment", "21.0.6+7-LTS", JAVA),
    service("booking-service", "java", "OpenJDK Runtime Environment", "17.0.14+7", JAVA),
    service("catalogue-search", "java", "OpenJDK Runtime Environment", "21.0.6+7-LTS", JAVA),
    service("document-store", "go", "go", "go1.23.8", GO),
    service("identity-provider", "nodejs", "nodejs", "22.14.0", NODE),
    service("notification-hub", "nodejs", "nodejs", "20.19.0", NODE),
    service("pricing-engine", "python", "cpython", "3.12.9", PYTHON),
    service("recommendation-api", "python", "cpython", "3.11.11", PYTHON),
    service("reporting-worker", "python", "cpython", "3.12.9", PYTHON),
    service("web-frontend", "nodejs", "nodejs", "22.14.0", NODE),
];

/// Pods of a service.
pub(super) const REPLICAS: usize = 3;
/// Pods of all services.
pub(super) const PODS: usize = SERVICES.len() * REPLICAS;

/// The pod of a service's replica.
pub(super) const fn pod(service: usize, replica: usize) -> usize {
    service * REPLICAS + replica
}

/// The service a pod belongs to.
pub(super) const fn service_of(pod: usize) -> &'static Service {
    &SERVICES[pod / REPLICAS]
}

/// Address of a service inside the cluster.
pub(super) fn address(at: usize) -> String {
    format!("{}.production.svc", SERVICES[at % SERVICES.len()].name)
}

/// What a pod says about itself.
pub(super) fn resource_of(seed: u64, pod: usize) -> Option<Resource> {
    let of = service_of(pod);
    let mut dice = Dice::new(mix(seed, 0x90d), pod as u64);
    let node = dice.below(9);
    let mut hex = String::with_capacity(64);
    (0..4).for_each(|_| {
        let _ = write!(hex, "{:016x}", dice.word());
    });
    let replica_set = format!("{}-{}", of.name, &hex[..9]);
    let zone = ["a", "b", "c"][node as usize % 3];
    let mut attrs = Attrs::with_capacity(36);
    attrs.text("service.name", of.name).text("service.namespace", "production");
    attrs.text("service.version", format!("2025.{}.{}", 1 + dice.below(20), dice.below(9)));
    attrs.text("service.instance.id", filled("{uuid}", &mut dice));
    attrs.text("deployment.environment.name", "production");
    attrs.text("cloud.provider", "aws").text("cloud.platform", "aws_eks");
    attrs.text("cloud.region", "eu-central-1").text("cloud.account.id", "493817260154");
    attrs.text("cloud.availability_zone", format!("eu-central-1{zone}"));
    attrs.text("k8s.cluster.name", "production-eu-central-1-blue");
    attrs.text("k8s.namespace.name", "production").text("k8s.container.name", of.name);
    let host = format!("ip-10-12-{node}-{}.eu-central-1.compute.internal", 17 * node + 5);
    attrs.text("k8s.node.name", host.as_str()).text("host.name", host);
    attrs.text("host.id", format!("i-0{:016x}", mix(seed, 0x4057 + u64::from(node))));
    attrs.text("host.arch", "amd64").text("host.type", "m7i.2xlarge").text("os.type", "linux");
    attrs.text("os.description", "Linux 6.1.134-150.224.amzn2023.x86_64");
    attrs.text("k8s.deployment.name", of.name);
    attrs.text("k8s.pod.name", format!("{replica_set}-{}", &hex[9..14]));
    attrs.text("k8s.replicaset.name", replica_set);
    attrs.text("k8s.pod.uid", filled("{uuid}", &mut dice));
    attrs.text("k8s.pod.ip", filled("{ip}", &mut dice));
    attrs.text("k8s.pod.start_time", "2025-06-11T07:42:19Z");
    attrs.text("container.image.name", format!("registry.example.com/production/{}", of.name));
    attrs.list("container.image.tags", &[&hex[20..60]]);
    attrs.text("container.id", hex);
    attrs.int("process.pid", i64::from(1 + dice.below(40)));
    attrs.text("process.command_line", of.command);
    attrs.text("process.runtime.name", of.runtime);
    attrs.text("process.runtime.version", of.runtime_version);
    attrs.text("telemetry.sdk.name", "opentelemetry");
    attrs.text("telemetry.sdk.language", of.language);
    attrs.text("telemetry.sdk.version", of.sdk);
    super::super::resource(attrs)
}
