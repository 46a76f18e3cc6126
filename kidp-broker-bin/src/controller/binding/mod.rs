//! The controller of bindings: makes the login of each, and removes it.
//!
//! # Flow
//! ```text
//!  ServiceBinding ─> its instance ─> Secret (password made once) ─> script in a pod ─> status Ready
//!        │  deletionTimestamp
//!        └────> script in a pod ─> remove the finalizer (the Secret goes with its owner)
//! ```
//!
//! # Guarantees
//! - The password is in the Secret before the engine has it, so that a crash in between is followed by the same login.
//! - The finalizer leaves only when the engine has confirmed that the login is gone, or when its data goes anyway.
//! - In steady state there is one read of the Secret every few minutes; nothing is run and nothing written.
//!
//! # Why in a pod
//! The script runs in one of the instance's own pods (`pods/exec`) and reads the secret from its standard input, over
//! the API server's TLS connection. A Job would need a second pod for each binding, with a mounted administrator's login
//! and a hole in the NetworkPolicy; a database connection from the broker would need the hole, five drivers, and the
//! administrator's password in the broker. The price is the right to `pods/exec`.

mod exec;
mod secret;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use kidp_core::crd::{Phase, ServiceBinding, ServiceInstance};
use kidp_core::group::SERVICE_BINDING_FINALIZER;
use kidp_core::instance::DeletionPolicy;
use kidp_provisioners::binding::{Binder, Script};
use kidp_provisioners::{Credentials, Instance};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};

use super::dereference::{Subject, dereference};
use super::{Context, POLL, POLL_FAILED, RECONCILE_TIMEOUT, ReconcileError, SWEEP, write};
use crate::{bindings, record, view};
use exec::ExecError;
use status::Verdict;

/// How long a script may fail before that is told: a pod that restarts, or a lock that is held, passes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the controller until the context's token is cancelled and what runs has ended.
pub async fn run(context: Arc<Context>, concurrency: u16) {
    let api: Api<ServiceBinding> = Api::all(context.client.clone());
    let stop = context.shutdown.clone();
    Controller::new(api, watcher::Config::default())
        .with_config(Config::default().concurrency(concurrency))
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(reconcile, error_policy, context)
        .for_each(|outcome| async move {
            if let Err(error @ kube::runtime::controller::Error::QueueError(_)) = outcome {
                tracing::warn!(%error, "watch of bindings");
            }
        })
        .await;
}

async fn reconcile(binding: Arc<ServiceBinding>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    if !bindings::belongs_to(&context.broker, &binding) {
        return Ok(Action::await_change());
    }
    let work = async {
        let instance = instance_of(&binding, &context).await?;
        if bindings::is_deleting(&binding) {
            withdraw(&binding, instance.as_ref(), &context).await
        } else {
            converge(&binding, instance.as_ref(), &context).await
        }
    };
    let action = tokio::time::timeout(RECONCILE_TIMEOUT, work)
        .await
        .map_err(|_| ReconcileError::Timeout)??;
    context.memory.succeeded(&key(&binding));
    Ok(action)
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is kube's")]
fn error_policy(binding: Arc<ServiceBinding>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let pause = context.memory.failed(&key(&binding));
    tracing::warn!(binding = binding.name_any(), %error, pause_ms = pause.as_millis(), "reconcile failed");
    Action::requeue(pause)
}

fn key(binding: &ServiceBinding) -> String {
    binding.uid().unwrap_or_else(|| binding.name_any())
}

async fn instance_of(
    binding: &ServiceBinding,
    context: &Context,
) -> Result<Option<ServiceInstance>, ReconcileError> {
    let namespace = binding.namespace().unwrap_or_default();
    let api: Api<ServiceInstance> = Api::namespaced(context.client.clone(), &namespace);
    let found = api.get_opt(binding.spec.deployment_id.as_str()).await;
    found.map_err(|error| Box::new(error).into())
}

/// Makes the login, unless it is there.
async fn converge(
    binding: &ServiceBinding,
    instance: Option<&ServiceInstance>,
    context: &Context,
) -> Result<Action, ReconcileError> {
    let Some(record) = instance.filter(|record| !record::is_deleting(record)) else {
        let say = "the instance is not there any more; unbind";
        return settle(binding, Verdict::failed("InstanceGone", say), context).await;
    };
    let (subject, record) = match subject(record, context) {
        Ok(subject) => (subject, record),
        Err(refusal) => return settle(binding, refusal, context).await,
    };
    let Some(binder) = subject.provisioner.binder() else {
        let say = format!(
            "logins of one's own to {} are not made",
            record.spec.instance.engine
        );
        return settle(binding, Verdict::failed("NotBindable", say), context).await;
    };
    if is_settled(binding) && secret::is_there(binding, context).await? {
        return Ok(Action::requeue(SWEEP));
    }
    // An instance that is being changed may well answer; what matters is a ready pod, which `exec` looks for.
    if !matches!(
        view::phase(record),
        Phase::Ready | Phase::DriftDetected | Phase::Provisioning
    ) {
        return settle(
            binding,
            Verdict::Progressing("the instance is not ready".to_owned()),
            context,
        )
        .await;
    }
    let verdict = bind(binding, &subject, binder, context).await?;
    settle(binding, verdict, context).await
}

fn subject(record: &ServiceInstance, context: &Context) -> Result<Subject, Verdict> {
    let found = dereference(record, &context.registry, context.features.current());
    found.map_err(|_| Verdict::failed("NoProvisioner", "this broker has no provisioner for the instance"))
}

async fn bind(
    binding: &ServiceBinding,
    subject: &Subject,
    binder: &dyn Binder,
    context: &Context,
) -> Result<Verdict, ReconcileError> {
    let login = match secret::login(binding, subject, binder, context).await? {
        Ok(login) => login,
        Err(refusal) => return Ok(refusal),
    };
    let script = binder.bind(&subject.instance, &login);
    let ran = run_script(binding, &subject.instance, binder, &script, Some(&login), context).await;
    Ok(match ran {
        Ok(()) => {
            tracing::info!(binding = binding.name_any(), user = login.username, "bound");
            Verdict::Ready
        }
        Err(verdict) => verdict,
    })
}

/// Removes the login, and lets the record go.
async fn withdraw(
    binding: &ServiceBinding,
    instance: Option<&ServiceInstance>,
    context: &Context,
) -> Result<Action, ReconcileError> {
    if !binding
        .finalizers()
        .iter()
        .any(|f| f == SERVICE_BINDING_FINALIZER)
    {
        context.memory.forget(&key(binding));
        return Ok(Action::await_change());
    }
    let Some(record) = instance.filter(|record| !goes_with_data(record)) else {
        return release(binding, context).await;
    };
    let subject = match subject(record, context) {
        Ok(subject) => subject,
        Err(refusal) => return settle(binding, refusal, context).await,
    };
    // An engine without logins has never made one.
    let Some(binder) = subject.provisioner.binder() else {
        return release(binding, context).await;
    };
    let script = binder.unbind(&subject.instance, &binding.spec.username);
    match run_script(binding, &subject.instance, binder, &script, None, context).await {
        Ok(()) => release(binding, context).await,
        Err(verdict) => settle(binding, verdict, context).await,
    }
}

/// Whether the login ends with the data that it is kept in.
fn goes_with_data(record: &ServiceInstance) -> bool {
    record::is_deleting(record) && record.spec.instance.deletion_policy == DeletionPolicy::Delete
}

/// Runs a script; a failure that may pass is progress until it has gone on for long.
async fn run_script(
    binding: &ServiceBinding,
    instance: &Instance,
    binder: &dyn Binder,
    script: &Script,
    login: Option<&Credentials>,
    context: &Context,
) -> Result<(), Verdict> {
    let place = binder.place(instance);
    let ran = exec::run(&context.client, &instance.namespace, &place, script).await;
    let Err(error) = ran else {
        context.memory.unsettled(&key(binding), false);
        return Ok(());
    };
    let said = match login {
        Some(login) => error.to_string().replace(&login.password, "***"),
        None => error.to_string(),
    };
    tracing::warn!(
        binding = binding.name_any(),
        error = said,
        "a script did not succeed"
    );
    let told = binding
        .status
        .as_ref()
        .is_some_and(|status| status.phase == Phase::Failed);
    let lasting = context.memory.unsettled(&key(binding), true) > PATIENCE || told;
    Err(match error {
        ExecError::Script { .. } if lasting => Verdict::failed("ScriptFailed", said),
        _ => Verdict::Progressing(said),
    })
}

fn is_settled(binding: &ServiceBinding) -> bool {
    binding.status.as_ref().is_some_and(|status| {
        status.phase == Phase::Ready && status.observed_generation == binding.metadata.generation
    })
}

/// Writes what is worth it, and says when to look again.
async fn settle(
    binding: &ServiceBinding,
    verdict: Verdict,
    context: &Context,
) -> Result<Action, ReconcileError> {
    let unsettled = context
        .memory
        .unsettled(&key(binding), matches!(verdict, Verdict::Progressing(_)));
    if let Some(next) = status::next(binding, &verdict, context.clock.now(), unsettled) {
        let mut changed = binding.clone();
        changed.status = Some(next);
        write::status(&context.client, &changed).await?;
    }
    Ok(Action::requeue(match verdict {
        Verdict::Ready => SWEEP,
        Verdict::Progressing(_) => POLL,
        Verdict::Failed { .. } => POLL_FAILED,
    }))
}

/// Takes the finalizer off, if the record has not changed since it was read.
async fn release(binding: &ServiceBinding, context: &Context) -> Result<Action, ReconcileError> {
    if write::release(&context.client, binding, SERVICE_BINDING_FINALIZER).await? {
        tracing::info!(binding = binding.name_any(), "unbound");
    }
    context.memory.forget(&key(binding));
    Ok(Action::await_change())
}
