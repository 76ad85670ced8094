//! A fleet: observe → validate → plan → apply → report.

pub mod apply;
pub mod conditions;
pub mod credentials;
pub mod diff;
pub mod drain_view;
pub mod evidence;
pub mod finalizer;
pub mod history;
pub mod judge;
pub mod memory;
pub mod names;
pub mod observe;
pub mod plan;
pub mod references;
pub mod report;
pub mod schema;
pub mod status;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use socketfleet_api::SocketFleet;
use socketfleet_api::fleet::RevisionRecord;

use crate::context::Context;
use crate::drain::{self, Decision};
use crate::kinds::Kind;
use crate::open_sockets::Totals;
use crate::settings::Platform;
use crate::telemetry::metrics::FleetNumbers;
use evidence::Evidence;
use observe::Observed;
use status::Findings;
use validate::{Invalid, ValidatedFleet};

/// Why a look at a fleet failed, by step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// I/O: what belongs to the fleet.
    #[error("observing: {0}")]
    Observe(#[from] observe::Error),
    /// I/O: the finalizer.
    #[error("writing the finalizer: {0}")]
    Finalizer(#[source] kube::Error),
    /// I/O: the objects.
    #[error("applying: {0}")]
    Apply(#[from] apply::Error),
    /// I/O: the status.
    #[error("writing the status: {0}")]
    Report(#[source] kube::Error),
}

impl Error {
    /// The step, as the label of a metric.
    pub fn step(&self) -> &'static str {
        match self {
            Self::Observe(_) => "observe",
            Self::Finalizer(_) => "finalizer",
            Self::Apply(_) => "apply",
            Self::Report(_) => "report",
        }
    }

    /// The fleet or one of its objects has changed since it was looked at: it comes with the work.
    pub fn is_conflict(&self) -> bool {
        let conflict =
            |source: &kube::Error| matches!(source, kube::Error::Api(status) if status.code == 409);
        match self {
            Self::Finalizer(source) | Self::Report(source) => conflict(source),
            Self::Apply(apply::Error::Call { source, .. }) => conflict(source),
            Self::Apply(_) | Self::Observe(_) => false,
        }
    }
}

/// Looks at one fleet and does what is to be done.
///
/// # Errors
/// The step that failed; all that comes before it is done.
pub async fn reconcile(fleet: Arc<SocketFleet>, ctx: Arc<Context>) -> Result<Action, Error> {
    // A look that had to wait for its turn may be for a fleet that has changed or gone since.
    let Some(fleet) = ctx.cache.fleets.get(&ObjectRef::from_obj(&*fleet)) else {
        ctx.forget(&fleet.namespace().unwrap_or_default(), &fleet.name_any());
        return Ok(Action::await_change());
    };
    let observed = observe::observe(fleet, &ctx).await?;
    let uid = observed.fleet.uid().unwrap_or_default();
    let generation = observed.fleet.metadata.generation.unwrap_or_default();

    let rules = ctx.memory.rules(&observed.id, &uid, generation, || validate::rules(&observed.fleet));
    let refused = ctx.memory.refused(&observed.id, &uid, generation);
    let (fleet, invalid) = choose(&observed, &ctx.platform, rules, refused);
    let result = match &fleet {
        Some(fleet) => carry_out(&ctx, &observed, fleet, invalid.as_ref()).await,
        None => refuse(&ctx, &observed, invalid.as_ref()).await,
    };
    match result {
        // The spec is to blame: the last one that was accepted is carried out instead.
        Err(Error::Apply(error @ apply::Error::Refused { .. })) if invalid.is_none() => {
            tracing::warn!(namespace = observed.namespace, fleet = observed.name, %error, "spec refused");
            ctx.memory.refuse(&observed.id, uid, generation, error.to_string());
            Ok(Action::requeue(Duration::ZERO))
        }
        result => result,
    }
}

/// Pure: what is carried out, the spec or the last one that was accepted, and why not the spec.
fn choose(
    observed: &Observed,
    platform: &Platform,
    rules: Vec<String>,
    refused: Option<String>,
) -> (Option<ValidatedFleet>, Option<Invalid>) {
    let valid = validate::validate(&observed.fleet, rules, &observed.references, platform);
    let invalid = match (valid, refused) {
        (Ok(fleet), None) => return (Some(fleet), None),
        (Ok(_), Some(message)) => Invalid { reason: "Refused", messages: vec![message] },
        (Err(invalid), _) => invalid,
    };
    let record = (Kind::ConfigMap, names::Names(&observed.name).accepted());
    let last = observed.live.get(&record).and_then(plan::last_accepted);
    (last.map(|spec| validate::resolve(&observed.fleet, spec, platform)), Some(invalid))
}

/// Carries a spec out.
async fn carry_out(
    ctx: &Context,
    observed: &Observed,
    fleet: &ValidatedFleet,
    invalid: Option<&Invalid>,
) -> Result<Action, Error> {
    let now = Timestamp::now();
    let deleted = observed.fleet.metadata.deletion_timestamp.as_ref().map(|t| t.0);
    if deleted.is_none() {
        finalizer::keep(ctx, observed, fleet.spec.deletion_policy).await.map_err(Error::Finalizer)?;
    }

    // Pure: what is to be done.
    let counts = ctx.counts.fleet(&observed.id);
    let revision = plan::revision(fleet, &observed.credentials);
    let node = |name: &str| ctx.cache.nodes.get(&ObjectRef::new(name));
    let last_scaled = |name: &str| ctx.memory.last_scaled(&observed.id, name);
    let mut view = drain_view::view(fleet, observed, &revision, &counts, node, last_scaled, now);
    ctx.drains.recall(&mut view);
    let mut history = history::advance(history(observed), &revision, &fleet.spec, now);
    let trial = judge::Trial {
        spec: &fleet.spec.rollout,
        view: &view,
        counts: &counts,
        attempt: &history[0],
        retried: judge::retried(&observed.fleet),
        gave_up: judge::gave_up(observed, &revision),
    };
    let (verdict, judged) = (trial.verdict(now), trial.again(now));
    view.fleet.rollout.failed = verdict.is_some();
    history[0].failed.clone_from(&verdict);
    blame(ctx, observed, &view, now).await;
    let decision = drain::next_actions(&view, now);
    let totals = counts.totals();

    // I/O: the objects, then the pods.
    match deleted {
        None => {
            let replicas = decision.replicas.get(&revision).copied().unwrap_or(0);
            let plan = plan::plan(fleet, &observed.credentials, &ctx.platform, replicas, &history);
            apply::apply(ctx, observed, &plan, &decision.replicas).await?;
        }
        // Nothing is made or repaired any more.
        Some(_) => apply::scale_only(ctx, observed, &decision.replicas).await?,
    }
    ctx.memory.expect(&observed.id, &view, &decision.shrinks);
    execute(ctx, observed, &decision).await;
    if let Some(deleted) = deleted
        && (decision.deleted || now > finalizer::at_the_latest(fleet, deleted))
    {
        finalizer::release(ctx, observed).await.map_err(Error::Finalizer)?;
        return Ok(Action::await_change());
    }

    // I/O: what people see.
    let before = observed.fleet.status.clone().unwrap_or_default();
    let evidence = evidence::collect(&before, &view, &decision.summary.drains, &counts, now);
    let found = Findings {
        fleet,
        observed,
        view: &view,
        decision: &decision,
        totals: &totals,
        last_drains: &evidence.records,
        verdict: verdict.as_ref(),
        invalid,
    };
    let wait = report::report(ctx, observed, &status::status(&found, now)).await.map_err(Error::Report)?;
    tell(ctx, observed, &evidence).await;
    count(ctx, observed, &view, &decision, &totals);
    let again = [decision.requeue_after, wait, judged, evidence.again].into_iter().flatten().min();
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// Pure: the history of a fleet as it was last written.
fn history(observed: &Observed) -> Vec<RevisionRecord> {
    let record = (Kind::ConfigMap, names::Names(&observed.name).accepted());
    observed.live.get(&record).map(history::read).unwrap_or_default()
}

/// A spec that cannot be carried out, of a fleet that never was: said, and no more.
async fn refuse(ctx: &Context, observed: &Observed, invalid: Option<&Invalid>) -> Result<Action, Error> {
    if observed.fleet.metadata.deletion_timestamp.is_some() {
        finalizer::release(ctx, observed).await.map_err(Error::Finalizer)?;
    } else if let Some(invalid) = invalid {
        let status = status::refused(observed, invalid, Timestamp::now());
        report::report(ctx, observed, &status).await.map_err(Error::Report)?;
    }
    Ok(Action::await_change())
}

/// Carries out what was decided about pods. What fails is tried again at the next look, by what is observed then.
async fn execute(ctx: &Context, observed: &Observed, decision: &Decision) {
    if decision.actions.is_empty() {
        return;
    }
    let token = &observed.credentials.admin_token;
    let done = ctx.drains.execute(&observed.namespace, token, decision.actions.clone()).await;
    // One line, however many pods do not answer.
    let unexpected = || done.failures.iter().filter(|(_, error)| !error.is_expected());
    if let Some((pod, error)) = unexpected().next() {
        let pods = unexpected().count();
        tracing::warn!(namespace = observed.namespace, pods, first = pod.name, %error, "steps of drains failed");
    }
    for (pod, note) in done.notes {
        let type_ = if note.warning { EventType::Warning } else { EventType::Normal };
        tracing::info!(namespace = observed.namespace, pod = pod.name, reason = note.reason, note.message);
        report::event(ctx, observed, type_, note.reason.into(), note.message).await;
    }
}

/// Tells and counts what became of the sockets of drains that have settled; their status has been written.
async fn tell(ctx: &Context, observed: &Observed, evidence: &Evidence) {
    for record in evidence.settled.iter().filter(|record| ctx.memory.tell(&observed.id, record)) {
        let message = evidence::sentence(record);
        tracing::info!(namespace = observed.namespace, fleet = observed.name, message, "drain settled");
        report::event(ctx, observed, EventType::Normal, "DrainSettled".into(), message).await;
        ctx.metrics.drained(&observed.namespace, &observed.name, record);
    }
}

fn count(ctx: &Context, observed: &Observed, view: &drain::Observed, decision: &Decision, totals: &Totals) {
    let numbers = FleetNumbers {
        open_sockets: i64::try_from(totals.open).unwrap_or(i64::MAX),
        capacity: i64::try_from(totals.capacity).unwrap_or(i64::MAX),
        wanted: view.fleet.desired.into(),
        ready: decision.summary.ready.into(),
        draining: i64::try_from(decision.summary.drains.len()).unwrap_or(i64::MAX),
        rollout_failed: view.fleet.rollout.failed,
    };
    ctx.metrics.fleet(&observed.namespace, &observed.name, numbers);
    ctx.metrics.knows(ctx.cache.fleets.len());
}

/// Says when a Deployment deleted another pod than the one that was emptied for it.
async fn blame(ctx: &Context, observed: &Observed, view: &drain::Observed, now: Timestamp) {
    for wrong in ctx.memory.check(&observed.id, view, now) {
        let drain::WrongVictims { revision, spared, gone } = wrong;
        ctx.metrics.wrong_victims.inc_by(gone.len() as u64);
        let message = format!(
            "revision {revision}: pods {} were to go, and {} went",
            spared.join(", "),
            gone.join(", ")
        );
        tracing::error!(namespace = observed.namespace, fleet = observed.name, message, "wrong victim");
        report::event(ctx, observed, EventType::Warning, "WrongVictim".into(), message).await;
    }
}

/// When to look again after a failure.
pub fn after_failure(error: &Error) -> Duration {
    match error {
        error if error.is_conflict() => Duration::from_millis(200),
        // Perhaps the remains of a fleet of the same name that are being collected.
        Error::Apply(apply::Error::NotOurs { .. }) => Duration::from_secs(2),
        Error::Apply(apply::Error::Refused { .. }) => Duration::from_secs(60),
        _ => Duration::from_secs(5),
    }
}
