//! What is checked the same way for every engine. What cannot be honoured is refused by name: an instance never
//! pretends to have it.

mod encryption;

use kidp_core::instance::{DeletionPolicy, InstanceSpec, PodTemplatePolicy};
use kidp_core::names;
use kidp_core::problem::FieldError;
use kidp_core::quantity::parse_bytes;

use crate::engines::parameters::Catalogue;
use crate::instance::Instance;

/// What an engine says about itself for the common checks.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The engine, as messages call it.
    pub engine: &'static str,
    /// Smallest volume that a first start fits on, in bytes, and as it is written.
    pub min_storage: (u64, &'static str),
    /// Why `highAvailability: true` is refused; none where it is honoured.
    pub no_high_availability: Option<&'static str>,
    /// Why `encryption.inTransit: true` is refused; none where it is honoured.
    pub no_tls: Option<&'static str>,
    /// Whether a StatefulSet that is there already can be taken over.
    pub adopts: bool,
    /// Why `monitoring.enabled: true` is refused; none where it is honoured.
    pub no_monitoring: Option<&'static str>,
    /// Why TLS is refused together with `highAvailability: true`; none where members are served over it too.
    pub no_tls_with_members: Option<&'static str>,
}

/// Every fault of a request, given what the engine says about its version.
pub fn validate(
    instance: &Instance,
    limits: &Limits,
    catalogue: &Catalogue,
    version: Option<String>,
) -> Result<(), Vec<FieldError>> {
    let mut faults = Vec::new();
    if let Err(error) = names::validate_subdomain(&instance.name) {
        faults.push(FieldError::new("metadata.name", error.to_string()));
    }
    if let Err(error) = names::validate_label(&instance.namespace) {
        faults.push(FieldError::new("metadata.namespace", error.to_string()));
    }
    faults.extend(version.map(|message| FieldError::new("spec.version", message)));
    faults.extend(storage(&instance.spec, limits));
    faults.extend(unsupported(&instance.spec, limits));
    if limits.no_tls.is_none() || !instance.spec.encryption.in_transit {
        faults.extend(encryption::faults(instance));
    }
    faults.extend(instance.spec.monitoring.faults("spec.monitoring"));
    faults.extend(catalogue.faults(&instance.spec));
    faults.extend(instance.spec.drift.faults("spec.drift"));
    faults.extend(adoption(&instance.spec, limits));
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// What is wrong with a version, where it is neither one of `supported` nor one of these with more numbers, of which a
/// version has at most `further` after its first: PostgreSQL has `15` and `15.4`, Redis `7`, `7.4` and `7.4.2`.
pub fn version(engine: &str, supported: &[&str], further: usize, version: &str) -> Option<String> {
    let number = |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let is_of = |series: &&str| match version.strip_prefix(series).map(|rest| rest.strip_prefix('.')) {
        Some(Some(rest)) => version.matches('.').count() <= further && rest.split('.').all(number),
        Some(None) => version == *series,
        None => false,
    };
    (!supported.iter().any(is_of)).then(|| {
        let example = supported.first().copied().unwrap_or_default();
        format!(
            "{engine} `{version}` is not provisioned; supported are {} and their minor versions, such as {example}.4",
            supported.join(", ")
        )
    })
}

/// Whether data of version `from` is opened by `to`, for servers that open what the series before their own wrote,
/// and what an earlier version of their own series wrote. `series` are in order.
///
/// Versions are compared as far as both go: `7` stands for any of its series, so a pin from `7` to `7.4` is let
/// through.
pub fn opens_forward(series: &[&str], from: &str, to: &str) -> bool {
    let place = |version: &str| {
        let is_of = |series: &&str| version == *series || version.starts_with(&format!("{series}."));
        series.iter().position(is_of)
    };
    let numbers = |version: &str| {
        version
            .split('.')
            .map(|n| n.parse::<u32>().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    match (place(from), place(to)) {
        (Some(a), Some(b)) if a == b => {
            let (from, to) = (numbers(from), numbers(to));
            let common = from.len().min(to.len());
            from[..common] <= to[..common]
        }
        (Some(a), Some(b)) => a + 1 == b,
        _ => false,
    }
}

fn storage(spec: &InstanceSpec, limits: &Limits) -> Vec<FieldError> {
    let (least, written) = limits.min_storage;
    let mut faults = Vec::new();
    match parse_bytes(&spec.storage.size) {
        Err(error) => faults.push(FieldError::new("spec.storage.size", error.to_string())),
        Ok(bytes) if bytes < least => faults.push(FieldError::new(
            "spec.storage.size",
            format!(
                "`{}` is too small for {}; at least {written}",
                spec.storage.size, limits.engine
            ),
        )),
        Ok(_) => {}
    }
    if let Some(Err(error)) = spec.storage.class.as_deref().map(names::validate_subdomain) {
        faults.push(FieldError::new("spec.storage.class", error.to_string()));
    }
    faults
}

/// What cannot be asked of a StatefulSet that is to be taken over.
fn adoption(spec: &InstanceSpec, limits: &Limits) -> Vec<FieldError> {
    let Some(adopt) = &spec.adopt else {
        return Vec::new();
    };
    if !limits.adopts {
        let say = format!(
            "a StatefulSet of {} cannot be taken over; leave it out",
            limits.engine
        );
        return vec![FieldError::new("spec.adopt", say)];
    }
    let mut faults = adopt.faults("spec.adopt");
    if adopt.pod_template == PodTemplatePolicy::Keep && !spec.parameters.is_empty() {
        let say = "a pod template that is kept has its own; leave them out, or set spec.adopt.podTemplate to Replace";
        faults.push(FieldError::new("spec.parameters", say));
    }
    if adopt.pod_template == PodTemplatePolicy::Keep && spec.monitoring.enabled {
        let say = "a pod template that is kept serves no metrics; set false, or set spec.adopt.podTemplate to Replace";
        faults.push(FieldError::new("spec.monitoring.enabled", say));
    }
    let say = "a StatefulSet that is taken over has one member without TLS; set false";
    let refused = [
        ("spec.highAvailability", spec.high_availability),
        ("spec.encryption.inTransit", spec.encryption.in_transit),
    ];
    faults.extend(
        refused
            .into_iter()
            .filter(|(_, is_asked)| *is_asked)
            .map(|(field, _)| FieldError::new(field, say)),
    );
    faults
}

fn unsupported(spec: &InstanceSpec, limits: &Limits) -> Vec<FieldError> {
    let engine = limits.engine;
    let several = spec.high_availability && limits.no_high_availability.is_none();
    let no_tls = limits
        .no_tls
        .or_else(|| limits.no_tls_with_members.filter(|_| several));
    let refusals = [
        (
            spec.high_availability && limits.no_high_availability.is_some(),
            "spec.highAvailability",
            limits.no_high_availability.unwrap_or_default().to_owned(),
        ),
        (
            spec.backup.enabled,
            "spec.backup.enabled",
            format!("backups of {engine} are not provisioned yet; set false"),
        ),
        (
            spec.backup.point_in_time_restore,
            "spec.backup.pointInTimeRestore",
            format!("point-in-time restore of {engine} is not provisioned yet; set false"),
        ),
        (
            spec.encryption.in_transit && no_tls.is_some(),
            "spec.encryption.inTransit",
            no_tls.unwrap_or_default().to_owned(),
        ),
        (
            spec.monitoring.enabled && limits.no_monitoring.is_some(),
            "spec.monitoring.enabled",
            limits.no_monitoring.unwrap_or_default().to_owned(),
        ),
        (
            spec.encryption.at_rest,
            "spec.encryption.atRest",
            "encryption at rest is a property of the storage class, which cannot be verified from here: \
             name an encrypted class in spec.storage.class and set false"
                .to_owned(),
        ),
        (
            spec.deletion_policy == DeletionPolicy::Snapshot,
            "spec.deletionPolicy",
            "Snapshot is not provisioned yet; use Delete or Retain".to_owned(),
        ),
    ];
    refusals
        .into_iter()
        .filter(|(refused, ..)| *refused)
        .map(|(_, field, message)| FieldError::new(field, message))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Limits, opens_forward, unsupported, version};

    /// An engine that comes to have several members does not pretend to serve them over TLS.
    #[test]
    fn tls_of_several_members_is_refused_where_it_is_not_provisioned() {
        let spec = serde_json::json!({"engine": "redis", "version": "8", "storage": {"size": "1Gi"},
            "highAvailability": true, "encryption": {"inTransit": true}});
        let spec = serde_json::from_value(spec).unwrap();
        let limits = Limits {
            engine: "Redis",
            min_storage: (1, "1"),
            no_high_availability: None,
            no_tls: None,
            adopts: false,
            no_monitoring: None,
            no_tls_with_members: Some("not with members"),
        };
        let faults = unsupported(&spec, &limits);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].field, "spec.encryption.inTransit");
        let served = Limits {
            no_tls_with_members: None,
            ..limits
        };
        assert_eq!(unsupported(&spec, &served), []);
    }

    #[test]
    fn versions_are_of_a_series_with_a_bounded_number_of_parts() {
        let series = ["8.0", "8.4", "9"];
        for accepted in ["8.0", "8.4.7", "9", "9.7", "9.7.1"] {
            assert_eq!(version("MySQL", &series, 2, accepted), None, "{accepted}");
        }
        for refused in [
            "",
            "8",
            "8.1",
            "8.44",
            "90",
            "9.",
            "9.7.1.2",
            "8.4.1.1",
            "9.x",
            "9.700",
            " 9",
            "9.7-oracle",
        ] {
            assert!(version("MySQL", &series, 2, refused).is_some(), "{refused}");
        }
        assert!(version("PostgreSQL", &["15"], 1, "15.4.1").is_some());
    }

    #[test]
    fn data_goes_forward_one_series_at_a_time() {
        let series = ["8.0", "8.4", "9"];
        for (from, to) in [
            ("8.0", "8.0"),
            ("8.0", "8.4"),
            ("8.4.2", "9.7"),
            ("9", "9.7"),
            ("9.7.1", "9.7"),
        ] {
            assert!(opens_forward(&series, from, to), "{from} {to}");
        }
        for (from, to) in [
            ("8.0", "9"),
            ("8.4", "8.0"),
            ("9.7", "9.6"),
            ("9.7.1", "9.7.0"),
            ("9", "10"),
            ("7", "8.0"),
        ] {
            assert!(!opens_forward(&series, from, to), "{from} {to}");
        }
    }
}
