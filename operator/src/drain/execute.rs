//! Carries a decision's actions out: patches and deletions of Pods, calls to their servers.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use parking_lot::Mutex;
use serde_json::json;
use socketfleet_api::contract::DrainReport;

use super::admin::{AdminClient, CallError};
use super::{Action, Marks, Memory, Note, Observed, PodRef, Step};

/// Actions under way at once, for one fleet.
const CONCURRENCY: usize = 16;
/// Time for a request to the API server.
const PATIENCE: Duration = Duration::from_secs(10);
/// Carries actions out. One serves all fleets.
pub struct Executor {
    client: kube::Client,
    admin: AdminClient,
    memory: Mutex<Memory>,
}

/// What came of a decision's actions.
#[derive(Debug, Default)]
pub struct Executed {
    /// What to tell people.
    pub notes: Vec<(PodRef, Note)>,
    /// What failed. The next decision tries again where it still makes sense.
    pub failures: Vec<(PodRef, StepError)>,
}

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The pod is no longer as it was looked at.
    #[error("the pod has changed since it was looked at")]
    Changed,
    /// The pod does not exist any more.
    #[error("the pod is gone")]
    Gone,
    /// The API server refused or could not be reached.
    #[error("the API server: {0}")]
    Kubernetes(#[source] Box<kube::Error>),
    /// The API server did not answer in time.
    #[error("the API server did not answer within {} s", PATIENCE.as_secs())]
    Timeout,
    /// The pod's server refused or could not be reached.
    #[error("the pod's server: {0}")]
    Server(#[from] CallError),
    /// The pod has no address yet.
    #[error("the pod has no address")]
    NoAddress,
}

impl StepError {
    /// Its kind, as the label of a metric.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Gone => "gone",
            Self::Kubernetes(_) => "kubernetes",
            Self::Timeout => "timeout",
            Self::Server(_) => "server",
            Self::NoAddress => "no_address",
        }
    }

    /// What was asked of the API server may have been done.
    fn may_be_done(&self) -> bool {
        match self {
            Self::Changed | Self::Gone | Self::Server(_) | Self::NoAddress => false,
            Self::Kubernetes(error) => !matches!(**error, kube::Error::Api(_)),
            Self::Timeout => true,
        }
    }

    /// It comes with the work: what was observed is out of date, and is being observed again.
    pub fn is_expected(&self) -> bool {
        matches!(self, Self::Changed | Self::Gone)
    }
}

impl Executor {
    /// Uses this client for Pods.
    pub fn new(client: kube::Client) -> Self {
        Self { client, admin: AdminClient::new(), memory: Mutex::default() }
    }

    /// Completes an observation with what was done and is not yet observed.
    pub fn recall(&self, observed: &mut Observed) {
        self.memory.lock().recall(observed, Timestamp::now());
    }

    /// Carries out the actions on a fleet's pods; `token` opens the admin port of its servers.
    pub async fn execute(&self, namespace: &str, token: &str, actions: Vec<Action>) -> Executed {
        let pods: Api<core::Pod> = Api::namespaced(self.client.clone(), namespace);
        let results = futures::stream::iter(actions).map(|Action { pod, step }| {
            let pods = &pods;
            async move {
                let result = self.step(pods, token, &pod, step).await;
                (pod, result)
            }
        });
        self.memory.lock().forget(Timestamp::now());
        let mut executed = Executed::default();
        let mut results = std::pin::pin!(results.buffer_unordered(CONCURRENCY));
        while let Some((pod, result)) = results.next().await {
            match result {
                Ok(note) => executed.notes.extend(note.map(|note| (pod, note))),
                Err(error) => executed.failures.push((pod, error)),
            }
        }
        executed
    }

    async fn step(
        &self,
        pods: &Api<core::Pod>,
        token: &str,
        pod: &PodRef,
        step: Step,
    ) -> Result<Option<Note>, StepError> {
        match step {
            Step::Mark { to, note } => {
                self.mark(pods, pod, to).await?;
                Ok(note)
            }
            Step::Tell(request) => {
                let pace = request.reconnects_per_second;
                self.call(pod, pace, self.admin.drain(address(pod)?, token, &request)).await
            }
            Step::TakeBack => self.call(pod, None, self.admin.take_back(address(pod)?, token)).await,
            Step::Replace => {
                let precondition = Preconditions { uid: Some(pod.uid.clone()), resource_version: None };
                let parameters =
                    DeleteParams { preconditions: Some(precondition), ..DeleteParams::default() };
                in_time(pods.delete(&pod.name, &parameters)).await?;
                Ok(None)
            }
        }
    }

    async fn mark(&self, pods: &Api<core::Pod>, pod: &PodRef, to: Marks) -> Result<(), StepError> {
        let patch = Patch::Merge(patch(pod, &to));
        let result = in_time(pods.patch_metadata(&pod.name, &PatchParams::default(), &patch)).await;
        let (at, mut memory) = (Timestamp::now(), self.memory.lock());
        match &result {
            Ok(patched) => {
                let version = patched.metadata.resource_version.clone().unwrap_or_default();
                memory.patched(&pod.uid, at, to, version);
            }
            Err(error) if error.may_be_done() => memory.maybe_patched(pod, at, to),
            Err(_) => {}
        }
        result.map(drop)
    }

    /// Makes a call and remembers its answer.
    async fn call(
        &self,
        pod: &PodRef,
        pace: Option<f64>,
        call: impl Future<Output = Result<DrainReport, CallError>>,
    ) -> Result<Option<Note>, StepError> {
        let answer = call.await;
        let at = Timestamp::now();
        match &answer {
            Ok(report) => self.memory.lock().answered(&pod.uid, at, report.clone()),
            Err(error) if error.may_have_arrived() => self.memory.lock().unsure(&pod.uid, at, pace),
            Err(_) => {}
        }
        answer?;
        Ok(None)
    }
}

fn address(pod: &PodRef) -> Result<SocketAddr, StepError> {
    pod.admin.ok_or(StepError::NoAddress)
}

/// With UID and resource version as preconditions: a pod that has changed is looked at again first.
fn patch(pod: &PodRef, marks: &Marks) -> serde_json::Value {
    let mut metadata = marks.patch();
    metadata["uid"] = json!(pod.uid);
    metadata["resourceVersion"] = json!(pod.resource_version);
    json!({ "metadata": metadata })
}

async fn in_time<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, StepError> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(StepError::Changed),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(StepError::Gone),
        Ok(Err(error)) => Err(StepError::Kubernetes(Box::new(error))),
        Err(_) => Err(StepError::Timeout),
    }
}
