//! The jurisdiction that a resource's data has to stay in, by its tenant.

use crate::cache::{Caches, namespace_of, resolve};
use crate::kind::AnyResource;

/// The `dataResidency` of the resource's tenant, if it has one. An error says that the tenant is not there: what it asks for
/// is not known then, and must not be taken for nothing.
pub fn of<R: AnyResource + ?Sized>(resource: &R, caches: &Caches) -> Result<Option<String>, String> {
    // Who has no team is not placed at all, see `dereference`.
    let Some(team) = caches.team_of(resource) else {
        return Ok(None);
    };
    let Some(reference) = &team.spec.tenant_ref else {
        return Ok(None);
    };
    let (namespace, name) = resolve(reference, &namespace_of(team.as_ref()));
    match caches.tenant(&namespace, &name) {
        Some(tenant) => Ok(tenant.spec.data_residency.clone()),
        None => Err(format!(
            "Team `{}` belongs to Tenant `{name}`, which is not in namespace `{namespace}`: where its data may be is \
             not known",
            team.metadata.name.as_deref().unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::caches;
    use crate::testing::{database, fill, object};
    use kidp_core::crd::{Team, Tenant};
    use serde_json::json;

    #[test]
    fn it_is_that_of_the_tenant_and_not_known_without_it() {
        let team = |tenant: serde_json::Value| -> Team {
            let spec = json!({"displayName": "Payments", "owners": ["ada"], "tenantRef": tenant});
            object("Team", "payments", &spec)
        };
        let tenant: Tenant = object(
            "Tenant",
            "acme",
            &json!({"displayName": "Acme", "dataResidency": "DE"}),
        );
        let of = |team: Team| {
            let (readers, mut writers) = caches();
            fill(&mut writers.tenants, [tenant.clone()]);
            fill(&mut writers.teams, [team]);
            super::of(&database("orders"), &readers)
        };
        assert_eq!(of(team(json!(null))), Ok(None));
        assert_eq!(of(team(json!({"name": "acme"}))), Ok(Some("DE".to_owned())));
        let missing = of(team(json!({"name": "gone"}))).unwrap_err();
        assert!(
            missing.contains("Tenant `gone`") && missing.contains("namespace `shop`"),
            "{missing}"
        );
    }
}
