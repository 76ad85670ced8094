//! Phases of drains, as what is observed moves them on.

use jiff::{SignedDuration, Timestamp};
use socketfleet_api::contract::{DrainPhase, DrainReason, PodDrainPhase};

use super::Note;
use super::census::{Census, View};
use super::start::begin;

pub(super) fn advance(census: &mut Census<'_>, now: Timestamp) {
    for view in &mut census.views {
        if let (Some(kill), None, true) = (view.pod.deleting, &view.drain, view.leaving()) {
            // Its server got SIGTERM and drains by itself; the marks let people see it.
            begin(view, DrainReason::Deleted, "somebody deletes it".to_owned(), now, kill);
        }
        let Some(drain) = &view.drain else { continue };
        let said = view.report_phase();
        if view.empty() {
            let note = finished(view, now);
            view.enter(PodDrainPhase::Empty, now, Some(note));
        } else if now >= drain.deadline {
            let note = forced(view);
            view.enter(PodDrainPhase::Forced, now, Some(note));
        } else if said == Some(DrainPhase::Draining)
            || (said == Some(DrainPhase::Serving) && drain.phase == PodDrainPhase::Empty)
        {
            // The second: a container that started again forgot its drain, and is told again.
            view.enter(PodDrainPhase::Draining, now, None);
        }
    }
}

fn finished(view: &View<'_>, now: Timestamp) -> Note {
    let name = &view.pod.id.name;
    let took = view.drain.as_ref().map_or(SignedDuration::ZERO, |d| now.duration_since(d.started));
    let report = view.pod.report.as_ref().map(|r| &r.drain);
    let (moved, cut) = report.map_or((0, 0), |r| (r.moved, r.forced));
    let message = if view.lifeless() {
        format!("{name} holds no socket")
    } else {
        format!(
            "{name} is empty: {moved} sockets moved in {} s, {cut} of them cut at the deadline",
            took.as_secs()
        )
    };
    Note { reason: "DrainFinished", message, warning: cut > 0 }
}

fn forced(view: &View<'_>) -> Note {
    let left = view.held.map_or("an unknown number of".to_owned(), |n| n.to_string());
    let message =
        format!("{} reached its deadline with {left} sockets: they are closed now", view.pod.id.name);
    Note { reason: "DrainForced", message, warning: true }
}
