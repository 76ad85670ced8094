use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use socketfleet_api::contract::ports;

use super::object::{Owned, metadata};
use super::redis_owned;
use crate::fleet::names::{self, Names, OPERATOR, REDIS, SERVER};
use crate::fleet::validate::{ManagedRedis, ValidatedFleet};
use crate::settings::Platform;

/// The socket port is open to all; the admin port to the operator and to those whom the user names.
pub(super) fn server(fleet: &ValidatedFleet, platform: &Platform) -> Option<NetworkPolicy> {
    let wanted = &fleet.spec.network_policy;
    let operator = NetworkPolicyPeer {
        namespace_selector: Some(match_labels("kubernetes.io/metadata.name", &platform.operator_namespace)),
        pod_selector: Some(match_labels("app.kubernetes.io/name", OPERATOR)),
        ip_block: None,
    };
    let outside = platform.operator_cidrs.iter().map(|cidr| NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.clone(), except: None }),
        ..NetworkPolicyPeer::default()
    });
    let admin_from = [operator].into_iter().chain(outside).chain(wanted.admin_from.clone()).collect();
    wanted.enabled.then(|| {
        policy(
            fleet,
            Names(&fleet.name).server(),
            SERVER,
            Owned::Yes,
            vec![rule(ports::SOCKET, None), rule(ports::ADMIN, Some(admin_from))],
        )
    })
}

/// Redis is open to the fleet's servers.
pub(super) fn redis(fleet: &ValidatedFleet, redis: &ManagedRedis) -> Option<NetworkPolicy> {
    let servers = NetworkPolicyPeer {
        pod_selector: Some(names::label_selector(&fleet.name, SERVER)),
        ..NetworkPolicyPeer::default()
    };
    fleet.spec.network_policy.enabled.then(|| {
        policy(
            fleet,
            Names(&fleet.name).redis(),
            REDIS,
            redis_owned(redis),
            vec![rule("redis", Some(vec![servers]))],
        )
    })
}

fn policy(
    fleet: &ValidatedFleet,
    name: String,
    component: &str,
    owned: Owned,
    ingress: Vec<NetworkPolicyIngressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata(fleet, name, component, owned),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(names::label_selector(&fleet.name, component)),
            policy_types: Some(vec!["Ingress".into()]),
            ingress: Some(ingress),
            egress: None,
        }),
    }
}

fn rule(port: &str, from: Option<Vec<NetworkPolicyPeer>>) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from,
        ports: Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::String(port.into())),
            protocol: Some("TCP".into()),
            end_port: None,
        }]),
    }
}

fn match_labels(key: &str, value: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some(BTreeMap::from([(key.to_owned(), value.to_owned())])),
        match_expressions: None,
    }
}
