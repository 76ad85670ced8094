use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use socketfleet_api::contract::{Traffic, labels, ports};

use super::object::{Owned, metadata};
use super::redis_owned;
use crate::fleet::names::{self, Names, REDIS, SERVER};
use crate::fleet::validate::{ManagedRedis, ValidatedFleet};

/// The Service that clients reach the fleet through: it leads to the pods that take new sockets.
pub(super) fn traffic(fleet: &ValidatedFleet) -> Service {
    let wanted = &fleet.spec.service;
    let mut selector = names::selector(&fleet.name, SERVER);
    selector.insert(labels::TRAFFIC.into(), Traffic::Accept.as_str().into());
    let mut metadata = metadata(fleet, Names(&fleet.name).fleet(), SERVER, Owned::Yes);
    metadata.annotations = Some(wanted.annotations.clone());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(wanted.r#type.as_str().into()),
            selector: Some(selector),
            session_affinity: Some(wanted.session_affinity.as_str().into()),
            ports: Some(vec![ServicePort {
                node_port: wanted.node_port,
                ..port(ports::SOCKET, wanted.port, Some("http"))
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Names the server pods, for Prometheus and for people. A pod that drains or is not Ready still has sockets
/// to count, so it is published too.
pub(super) fn pods(fleet: &ValidatedFleet) -> Service {
    let server = &fleet.spec.server;
    Service {
        metadata: metadata(fleet, Names(&fleet.name).pods(), SERVER, Owned::Yes),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            selector: Some(names::selector(&fleet.name, SERVER)),
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![
                port(ports::SOCKET, server.port, Some("http")),
                port(ports::ADMIN, server.admin_port, Some("http")),
            ]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// Redis, under an address that outlives its pod.
pub(super) fn redis(fleet: &ValidatedFleet, redis: &ManagedRedis) -> Service {
    Service {
        metadata: metadata(fleet, Names(&fleet.name).redis(), REDIS, redis_owned(redis)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".into()),
            selector: Some(names::selector(&fleet.name, REDIS)),
            ports: Some(vec![port("redis", 6379, Some("redis"))]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn port(name: &str, number: i32, app_protocol: Option<&str>) -> ServicePort {
    ServicePort {
        name: Some(name.into()),
        port: number,
        target_port: Some(IntOrString::String(name.into())),
        protocol: Some("TCP".into()),
        app_protocol: app_protocol.map(Into::into),
        node_port: None,
    }
}
