//! What is accepted can be built, what is refused names its field.

use kidp_core::instance::InstanceSpec;
use kidp_core::problem::FieldError;

use super::objects::{Notes, PASSWORD, render};
use super::report::{Check, Finding};
use super::samples::{self, Samples};
use crate::instance::Instance;
use crate::provisioner::Provisioner;

/// Versions that no engine has.
const NO_VERSIONS: [&str; 6] = ["", "0", "999999", "latest", "15 16", "${version}"];

/// A parameter that no engine has.
const NO_PARAMETER: &str = "kidp_conformance_no_such_parameter";

/// Checks what is accepted and what is refused.
pub fn validation(provisioner: &dyn Provisioner, samples: &Samples) -> Vec<Finding> {
    let mut notes = Notes::new(Check::Validation);
    let simple = samples::simple(provisioner);
    accepted(provisioner, samples, &simple, &mut notes);
    let base = samples.instances().first().unwrap_or(&simple);
    for (field, bad) in refused(provisioner, base) {
        match provisioner.validate(&bad) {
            Ok(()) => notes.add(&bad, "", format!("a bad {field} is accepted")),
            Err(faults) => named(&bad, &field, &faults, &mut notes),
        }
    }
    let mut twice = base.clone();
    NO_VERSIONS[2].clone_into(&mut twice.spec.version);
    twice.spec.parameters = [(NO_PARAMETER.to_owned(), "1".to_owned())].into();
    let count = provisioner
        .validate(&twice)
        .map_or_else(|faults| faults.len(), |()| 0);
    notes.require(count != 1, base, "", || {
        "of two faults only one is reported, so that a user mends them one at a time".to_owned()
    });
    notes.findings()
}

/// What is accepted is built, and what is promised is accepted.
fn accepted(provisioner: &dyn Provisioner, samples: &Samples, simple: &Instance, notes: &mut Notes) {
    let base = samples.instances().first().unwrap_or(simple);
    let capabilities = provisioner.capabilities_with(base.features);
    notes.require(!samples.instances().is_empty(), simple, "", || {
        let faults = provisioner.validate(simple).err().unwrap_or_default();
        format!(
            "there is no sample, so that nothing is checked: {}",
            kidp_core::problem::summarise(&faults)
        )
    });
    notes.require(!capabilities.versions.is_empty(), simple, "", || {
        "capabilities() lists no version".to_owned()
    });
    for instance in samples.instances() {
        if let Err(faults) = provisioner.validate(instance) {
            let faults = kidp_core::problem::summarise(&faults);
            notes.add(instance, "", format!("a sample is refused: {faults}"));
        } else if let Err(error) = render(provisioner, instance, PASSWORD) {
            notes.add(instance, "", format!("is accepted and cannot be built: {error}"));
        }
    }
    for version in capabilities.versions {
        let promised = changed(base, |spec| spec.version.clone_from(&version));
        notes.require(provisioner.validate(&promised).is_ok(), &promised, "", || {
            format!("version {version} is in capabilities() and refused")
        });
    }
    let available = changed(base, |spec| spec.high_availability = true);
    if capabilities.high_availability {
        notes.require(provisioner.validate(&available).is_ok(), &available, "", || {
            "highAvailability is in capabilities() and refused".to_owned()
        });
    }
}

/// Requests that have to be refused, and the field that each is refused for.
fn refused(provisioner: &dyn Provisioner, base: &Instance) -> Vec<(String, Instance)> {
    let mut bad = Vec::new();
    for version in NO_VERSIONS {
        bad.push((
            "spec.version".to_owned(),
            changed(base, |s| version.clone_into(&mut s.version)),
        ));
    }
    for size in ["", "ten", "-1Gi", "0", "1Gi "] {
        let instance = changed(base, |s| size.clone_into(&mut s.storage.size));
        bad.push(("spec.storage.size".to_owned(), instance));
    }
    let classed = changed(base, |s| s.storage.class = Some("Fast Disks".to_owned()));
    bad.push(("spec.storage.class".to_owned(), classed));
    let unknown = changed(base, |s| {
        s.parameters.insert(NO_PARAMETER.to_owned(), "1".to_owned());
    });
    bad.push((format!("spec.parameters.{NO_PARAMETER}"), unknown));
    if !provisioner.capabilities_with(base.features).high_availability {
        let available = changed(base, |s| s.high_availability = true);
        bad.push(("spec.highAvailability".to_owned(), available));
    }
    for name in ["", "Orders", "a..b", "-a", "a_b", &"x".repeat(254)] {
        let name = name.to_owned();
        bad.push(("metadata.name".to_owned(), Instance { name, ..base.clone() }));
    }
    for namespace in ["", "a.b", "Shop", &"x".repeat(64)] {
        let namespace = namespace.to_owned();
        bad.push((
            "metadata.namespace".to_owned(),
            Instance {
                namespace,
                ..base.clone()
            },
        ));
    }
    bad
}

/// A refusal is about the field at fault, and says something about it.
fn named(instance: &Instance, field: &str, faults: &[FieldError], notes: &mut Notes) {
    notes.require(
        faults.iter().any(|fault| fault.field == field),
        instance,
        "",
        || format!("a bad {field} is refused without naming that field"),
    );
    for fault in faults {
        let is_path = ["spec.", "metadata."]
            .iter()
            .any(|root| fault.field.len() > root.len() && fault.field.starts_with(root));
        notes.require(is_path, instance, "", || {
            format!("a fault names `{}`, which is no path of a field", fault.field)
        });
        notes.require(!fault.message.trim().is_empty(), instance, "", || {
            format!("a fault of {} has no message", fault.field)
        });
    }
}

fn changed(base: &Instance, change: impl FnOnce(&mut InstanceSpec)) -> Instance {
    let mut instance = base.clone();
    change(&mut instance.spec);
    instance
}
