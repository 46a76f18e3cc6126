//! The reconciler of teams: their namespaces first, see [`super::namespaces`], then their status.
//!
//! A team without namespaces is left alone but for its status. One with namespaces has a finalizer, since what was made
//! for it is in other namespaces, where no garbage collector would find it.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use kidp_core::conditions::{self, Statement};
use kidp_core::crd::{Team, TeamStatus};
use kidp_core::group::TEAM_FINALIZER;
use kidp_core::labels;
use kube::api::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::namespaces::{self, Finding, Findings};
use super::{Counted, record};
use crate::backoff::jitter;
use crate::cache::Caches;
use crate::context::Context;
use crate::events::truncated;
use crate::kube_io::{self, WriteError};
use crate::queues::{Queues, Trigger};
use crate::resource::ABANDON_ANNOTATION;
use crate::resource::validate::MAX_MESSAGE;

/// Brings a team's namespaces and status up to date.
pub async fn reconcile(team: Arc<Team>, ctx: Arc<Context>) -> Result<Action, WriteError> {
    let guarded = team.finalizers().iter().any(|f| f == TEAM_FINALIZER);
    let deleting = team.metadata.deletion_timestamp.is_some();
    let findings = if !ctx.team_namespaces {
        not_managed(&team, guarded)
    } else if deleting && guarded {
        let findings = namespaces::take_down(&team, &ctx).await?;
        if findings.is_empty() || is_abandoned(&team) {
            kube_io::remove_finalizer(&ctx.client, team.as_ref(), TEAM_FINALIZER).await?;
            return Ok(Action::await_change());
        }
        findings
    } else if deleting || (team.spec.namespaces.is_empty() && !guarded) {
        Findings::new()
    } else if !guarded {
        kube_io::add_finalizer(&ctx.client, team.as_ref(), TEAM_FINALIZER).await?;
        // The watch brings the team back with it; nothing is made before that.
        return Ok(Action::requeue(jitter(ctx.waits.poll_min)));
    } else {
        namespaces::bring(&team, &ctx).await?
    };
    let now = ctx.clock.now();
    let next = with_findings(&team, team.next(&ctx.caches, now), &findings, now);
    record(team.as_ref(), &next, &ctx).await?;
    let wait = if findings.iter().any(|f| matches!(f, Finding::Waiting(_))) {
        ctx.waits.poll_max
    } else {
        ctx.waits.resync
    };
    Ok(Action::requeue(jitter(wait)))
}

fn is_abandoned(team: &Team) -> bool {
    team.annotations()
        .get(ABANDON_ANNOTATION)
        .is_some_and(|v| v == "true")
}

/// What is said where this operator makes no namespaces.
fn not_managed(team: &Team, guarded: bool) -> Findings {
    if team.spec.namespaces.is_empty() && !guarded {
        return Findings::new();
    }
    let message = "spec.namespaces: this operator makes no namespaces; start it with --team-namespaces";
    vec![Finding::Refused(Statement::new("NamespacesNotManaged", message))]
}

/// The status with what keeps the namespaces: what is refused goes before what is waited for, and either before the rest.
fn with_findings(
    team: &Team,
    mut status: TeamStatus,
    findings: &[Finding],
    now: jiff::Timestamp,
) -> TeamStatus {
    let refused = findings
        .iter()
        .find(|finding| matches!(finding, Finding::Refused(_)));
    let Some(first) = refused.or(findings.first()) else {
        return status;
    };
    let (Finding::Waiting(say) | Finding::Refused(say)) = first;
    let messages = findings.iter().map(|finding| {
        let (Finding::Waiting(say) | Finding::Refused(say)) = finding;
        say.message.as_str()
    });
    let message = messages.collect::<Vec<_>>().join("; ");
    let say = Statement::new(say.reason, truncated(&message, MAX_MESSAGE));
    let generation = team.metadata.generation.unwrap_or_default();
    let next = if refused.is_some() {
        conditions::stalled(&say, generation, now)
    } else {
        conditions::reconciling(&say, generation, now)
    };
    let old = team
        .status
        .as_ref()
        .map(|s| s.conditions.as_slice())
        .unwrap_or_default();
    status.conditions = conditions::carry_over(old, next);
    status
}

/// Looks at a team again when somebody changes or removes an object that was made for it. What happens while the watch
/// is interrupted is seen at the next look.
pub async fn watch_children<K>(
    api: Api<PartialObjectMeta<K>>,
    caches: Caches,
    queues: Queues,
    stop: CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let ours = watcher::Config::default().labels(labels::TEAM_UID);
    let stream = watcher::watcher(api, ours)
        .default_backoff()
        .take_until(stop.cancelled_owned());
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        let object = match event {
            Ok(Event::Apply(object) | Event::Delete(object)) => object,
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(kind = %K::kind(&()), %error, "watch failed, trying again");
                continue;
            }
        };
        let uid = object.labels().get(labels::TEAM_UID);
        let Some(team) = uid.and_then(|uid| caches.team_of_uid(uid)) else {
            continue;
        };
        if !queues
            .send(Trigger::Team(ObjectRef::from_obj(team.as_ref())))
            .await
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;
    use kidp_core::conditions::{READY, RECONCILING, STALLED, is_true};
    use serde_json::json;

    fn team() -> Team {
        object(
            "Team",
            "payments",
            &json!({"displayName": "P", "owners": ["ada"], "namespaces": [{"name": "prod"}]}),
        )
    }

    fn finding(refused: bool, reason: &'static str) -> Finding {
        let say = Statement::new(reason, format!("about {reason}"));
        if refused {
            Finding::Refused(say)
        } else {
            Finding::Waiting(say)
        }
    }

    #[test]
    fn what_keeps_a_namespace_is_said_the_gravest_first() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let said =
            |findings: &[Finding]| with_findings(&team(), TeamStatus::default(), findings, now).conditions;
        let both = said(&[
            finding(false, "NamespaceNotEmpty"),
            finding(true, "NamespaceTaken"),
        ]);
        assert!(is_true(&both, STALLED) && !is_true(&both, READY));
        assert_eq!(both[0].reason, "NamespaceTaken");
        assert!(
            both[0]
                .message
                .contains("about NamespaceNotEmpty; about NamespaceTaken")
        );
        assert!(is_true(&said(&[finding(false, "ResourcesRemain")]), RECONCILING));
        assert!(said(&[]).is_empty());
    }

    #[test]
    fn a_team_that_asks_for_namespaces_is_told_where_nobody_makes_them() {
        assert_eq!(not_managed(&team(), false).len(), 1);
        let plain: Team = object("Team", "plain", &json!({"displayName": "P", "owners": ["ada"]}));
        assert!(not_managed(&plain, false).is_empty());
        assert_eq!(
            not_managed(&plain, true).len(),
            1,
            "its finalizer would never leave"
        );
    }
}
