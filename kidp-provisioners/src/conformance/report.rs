//! What the kit found.

use std::fmt;

use kidp_core::instance::ResourceType;
use serde::Serialize;

use crate::instance::Instance;
use crate::provisioner::Provisioner;

/// A promise that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// What is accepted can be built, what is refused names its field.
    Validation,
    /// The same request renders the same objects, whenever and in whatever order it is asked.
    Determinism,
    /// No accepted change of a spec changes what an API server refuses to change.
    Immutability,
    /// Names and labels are within Kubernetes' limits and belong to the instance alone.
    Naming,
    /// Every pod passes the `restricted` Pod Security Standard, and has nothing that it does not need.
    Pods,
    /// Pods have what their size says, volumes what was asked for.
    Sizing,
    /// The password is in the connection Secret and nowhere else, and a client finds its way with that Secret.
    Secrets,
    /// Nothing is called ready that is not.
    Readiness,
    /// Removal finds everything, and nothing takes the data with it.
    Deletion,
    /// On a cluster: an API server accepts every object as it stands.
    Acceptance,
    /// On a cluster: a second call writes nothing.
    SteadyState,
    /// On a cluster: the instance becomes ready.
    Usability,
    /// On a cluster: nothing is left.
    Removal,
}

impl Check {
    /// The name, as reports write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Determinism => "determinism",
            Self::Immutability => "immutability",
            Self::Naming => "naming",
            Self::Pods => "pods",
            Self::Sizing => "sizing",
            Self::Secrets => "secrets",
            Self::Readiness => "readiness",
            Self::Deletion => "deletion",
            Self::Acceptance => "acceptance",
            Self::SteadyState => "steady-state",
            Self::Usability => "usability",
            Self::Removal => "removal",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Which promise.
    pub check: Check,
    /// The sample that shows it, as `namespace/name (version, size)`.
    pub instance: String,
    /// The object, as `Kind/name`; empty where it is none in particular.
    pub object: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// How many samples show the same.
    pub times: usize,
}

impl Finding {
    /// A finding about an object of a sample, or about none in particular where `object` is empty.
    pub fn new(
        check: Check,
        instance: &Instance,
        object: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            check,
            instance: label(instance),
            object: object.into(),
            message: message.into(),
            times: 1,
        }
    }

    /// Whether another one says the same of another sample.
    fn repeats(&self, other: &Self) -> bool {
        let kind = |object: &str| object.split('/').next().map(ToOwned::to_owned);
        self.check == other.check
            && self.message == other.message
            && kind(&self.object) == kind(&other.object)
    }
}

/// How a sample is called.
fn label(instance: &Instance) -> String {
    // A name at the limit would fill the line.
    let name: String = instance.name.chars().take(40).collect();
    let spec = &instance.spec;
    format!("{}/{name} ({}, {})", instance.namespace, spec.version, spec.size)
}

/// What was checked, and what was found.
///
/// `Display` prints a line a check, and below it its findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The engine.
    pub engine: String,
    /// The kind of resource it serves.
    pub resource_type: ResourceType,
    /// How many samples there were.
    pub samples: usize,
    /// What was checked, in order.
    pub checks: Vec<Check>,
    /// What was found; the same finding about several samples is listed once.
    pub findings: Vec<Finding>,
}

impl Report {
    /// A report without any checks yet.
    pub fn new(provisioner: &(impl Provisioner + ?Sized), samples: usize) -> Self {
        Self {
            engine: provisioner.engine().to_string(),
            resource_type: provisioner.resource_type(),
            samples,
            checks: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Adds what a check found.
    pub fn add(&mut self, check: Check, findings: Vec<Finding>) {
        self.checks.push(check);
        for finding in findings {
            match self.findings.iter_mut().find(|known| known.repeats(&finding)) {
                Some(known) => known.times += finding.times,
                None => self.findings.push(finding),
            }
        }
    }

    /// Whether nothing was found.
    pub fn is_conformant(&self) -> bool {
        self.findings.is_empty()
    }

    /// The findings of a check.
    pub fn of(&self, check: Check) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.check == check)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_conformant() {
            "conformant"
        } else {
            "not conformant"
        };
        let Self {
            engine,
            resource_type,
            samples,
            ..
        } = self;
        write!(f, "{engine} as {resource_type}: {verdict} over {samples} samples")?;
        for check in &self.checks {
            let count = self.of(*check).count();
            let verdict = if count == 0 { "ok" } else { "FAILED" };
            write!(f, "\n  {check:<13} {verdict}")?;
            for finding in self.of(*check) {
                write!(f, "\n    {finding}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        write!(f, "{} [{}", self.message, self.instance)?;
        match self.times {
            1 => f.write_str("]"),
            times => write!(f, " and {} more]", times - 1),
        }
    }
}
