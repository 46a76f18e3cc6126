//! The Secret of a binding: made once with its password, read ever after.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kidp_core::crd::ServiceBinding;
use kidp_provisioners::apply::generate_password;
use kidp_provisioners::binding::{self, Binder};
use kidp_provisioners::{Credentials, tls};
use kube::{Api, Resource as _, ResourceExt as _};

use super::super::dereference::Subject;
use super::super::{Context, ReconcileError};
use super::status::Verdict;
use crate::record;
use crate::records::post_params;

fn api(binding: &ServiceBinding, context: &Context) -> Api<Secret> {
    Api::namespaced(context.client.clone(), &binding.namespace().unwrap_or_default())
}

async fn read(api: &Api<Secret>, binding: &ServiceBinding) -> Result<Option<Secret>, ReconcileError> {
    let found = api.get_opt(&binding.name_any()).await;
    found.map_err(|error| Box::new(error).into())
}

/// Whether the Secret is there.
pub(super) async fn is_there(binding: &ServiceBinding, context: &Context) -> Result<bool, ReconcileError> {
    let found = read(&api(binding, context), binding).await?;
    Ok(found.is_some_and(|secret| password(binding, &secret).is_some()))
}

/// The password in a Secret that is the binding's own.
fn password(binding: &ServiceBinding, secret: &Secret) -> Option<String> {
    let data = secret
        .data
        .as_ref()
        .filter(|_| record::is_owner(binding, secret))?;
    let bytes = data.get("password")?.0.clone();
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

/// The login, from the Secret, which is made where there is none. The inner error is a refusal that another try would
/// meet again.
pub(super) async fn login(
    binding: &ServiceBinding,
    subject: &Subject,
    binder: &dyn Binder,
    context: &Context,
) -> Result<Result<Credentials, Verdict>, ReconcileError> {
    let api = api(binding, context);
    let own = subject.provisioner.credentials(&subject.instance, String::new());
    let login = |password| Credentials::new(&binding.spec.username, password, &own.database);
    if let Some(found) = read(&api, binding).await? {
        let taken = || {
            let say = format!("Secret/{} is not this binding's; remove it", binding.name_any());
            Verdict::failed("NameCollision", say)
        };
        return Ok(password(binding, &found).map(login).ok_or_else(taken));
    }
    let login = login(generate_password());
    let ca = ca(&api, subject).await?;
    let entries = binder.entries(&subject.instance, &login);
    let secret = binding::secret(
        &subject.instance,
        &binding.name_any(),
        owner(binding),
        &entries,
        ca.as_ref(),
    );
    match api.create(&post_params(), &secret).await {
        Ok(_) => Ok(Ok(login)),
        // Made by another call: the next one reads it.
        Err(kube::Error::Api(status)) if status.is_already_exists() => Err(ReconcileError::Stale),
        Err(error) => Err(Box::new(error).into()),
    }
}

/// The CA that clients verify the instance by, where it has one.
async fn ca(api: &Api<Secret>, subject: &Subject) -> Result<Option<ByteString>, ReconcileError> {
    let name = subject.provisioner.connection(&subject.instance).secret;
    let found = api.get_opt(&name).await.map_err(Box::new)?;
    Ok(found
        .and_then(|secret| secret.data)
        .and_then(|mut data| data.remove(tls::CA)))
}

fn owner(binding: &ServiceBinding) -> OwnerReference {
    binding.controller_owner_ref(&()).unwrap_or_default()
}
