use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricIdentifier,
    MetricSpec, MetricTarget, ObjectMetricSource, ResourceMetricSource,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Resource;
use socketfleet_api::SocketFleet;

use super::object::{Owned, metadata};
use crate::fleet::names::{Names, SERVER};
use crate::fleet::validate::ValidatedFleet;

/// Name of the metric in `custom.metrics.k8s.io`.
pub const OPEN_SOCKETS_METRIC: &str = "open_sockets";

/// Scales the fleet, not a Deployment: one that an HPA scales deletes pods before they are drained. The metric is an
/// Object's AverageValue, which is ceil(total / target) whatever the state of the pods.
pub(super) fn horizontal_pod_autoscaler(fleet: &ValidatedFleet) -> Option<HorizontalPodAutoscaler> {
    let wanted = fleet.spec.autoscaling.as_ref()?;
    let this = CrossVersionObjectReference {
        api_version: Some(SocketFleet::api_version(&()).into()),
        kind: SocketFleet::kind(&()).into(),
        name: fleet.name.clone(),
    };
    let sockets = MetricSpec {
        type_: "Object".into(),
        object: Some(ObjectMetricSource {
            described_object: this.clone(),
            metric: MetricIdentifier { name: OPEN_SOCKETS_METRIC.into(), selector: None },
            target: MetricTarget {
                type_: "AverageValue".into(),
                average_value: Some(Quantity(fleet.target_open_sockets.to_string())),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    };
    let cpu = wanted.target_cpu_utilization_percentage.map(|percent| MetricSpec {
        type_: "Resource".into(),
        resource: Some(ResourceMetricSource {
            name: "cpu".into(),
            target: MetricTarget {
                type_: "Utilization".into(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    });
    Some(HorizontalPodAutoscaler {
        metadata: metadata(fleet, Names(&fleet.name).fleet(), SERVER, Owned::Yes),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: this,
            min_replicas: Some(wanted.min_replicas),
            max_replicas: wanted.max_replicas,
            metrics: Some([Some(sockets), cpu].into_iter().flatten().collect()),
            behavior: wanted.behavior.clone(),
        }),
        status: None,
    })
}
