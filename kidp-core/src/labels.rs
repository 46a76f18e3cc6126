//! Labels that KIDP puts on what it creates, and the selectors that find it again.

use std::collections::BTreeMap;

/// `app.kubernetes.io/managed-by` of everything KIDP creates.
pub const MANAGED_BY: &str = "kidp";

/// Recommended label: the software, such as `postgresql`.
pub const NAME: &str = "app.kubernetes.io/name";
/// Recommended label: which instance of it.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Recommended label: its role, such as `database`.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Recommended label: the larger thing it belongs to.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// Recommended label: the tool that manages it.
pub const MANAGED_BY_KEY: &str = "app.kubernetes.io/managed-by";

/// The team that owns a resource.
pub const TEAM: &str = "platform.company.com/team";
/// UID of the `Team` that an object of its namespaces was made for.
pub const TEAM_UID: &str = "platform.company.com/team-uid";
/// Namespace of that `Team`.
pub const TEAM_NAMESPACE: &str = "platform.company.com/team-namespace";
/// The tenant that the team belongs to.
pub const TENANT: &str = "platform.company.com/tenant";
/// The application that a resource serves.
pub const APPLICATION: &str = "platform.company.com/application";
/// The operation that made an object; the same for all of an instance's objects.
pub const DEPLOYMENT_ID: &str = "platform.company.com/deployment-id";
/// UID of the `Database`, `Cache` or `MessageQueue` that asked for it.
pub const RESOURCE_UID: &str = "platform.company.com/resource-uid";
/// Id of the binding that an object was made for.
pub const BINDING_ID: &str = "platform.company.com/binding-id";
/// A client pod carries this label with the instance's base name to pass the instance's `NetworkPolicy`.
pub const CLIENT: &str = "platform.company.com/client-of";

/// A label set.
pub type Labels = BTreeMap<String, String>;

/// Builds a label set from pairs.
pub fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// A text as a label value: what Kubernetes refuses is replaced, and a long text is cut with a hash at its end.
///
/// ```
/// assert_eq!(kidp_core::labels::value("payments team"), "payments-team");
/// ```
pub fn value(text: &str) -> String {
    const LIMIT: usize = 63;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let clean: String = text.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let edge = |c: char| !c.is_ascii_alphanumeric();
    let clean = clean.trim_matches(edge);
    if clean.len() <= LIMIT {
        return clean.to_owned();
    }
    let hash = crate::names::short_hash(&[text], 8);
    format!("{}-{hash}", clean[..LIMIT - 9].trim_matches(edge))
}

#[cfg(test)]
mod tests {
    use super::value;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_are_accepted_by_kubernetes(text in ".{0,200}") {
            let v = value(&text);
            prop_assert!(v.len() <= 63);
            let ok = |c: char| c.is_ascii_alphanumeric();
            prop_assert!(v.is_empty() || (v.starts_with(ok) && v.ends_with(ok)));
            prop_assert!(v.chars().all(|c| ok(c) || "-_.".contains(c)));
        }
    }
}
