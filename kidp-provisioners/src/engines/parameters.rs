//! Typed engine parameters, the same for every engine: a list of what is accepted, and reasons for what is not.

mod kind;
mod refused;
pub mod units;

use std::collections::{BTreeMap, BTreeSet};

use kidp_core::instance::InstanceSpec;
use kidp_core::problem::FieldError;

pub use kind::Kind;
pub use units::Units;

/// An accepted parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// Its name in the engine's configuration.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether the engine reads it at its start only. A change of any parameter starts the pod anew at present.
    pub restart: bool,
}

/// Names that are not taken, and why. A name that ends with `*` stands for all that begin so.
pub type Refusal = (&'static [&'static str], &'static str);

/// The parameters of an engine.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue {
    /// The engine, as messages call it.
    pub engine: &'static str,
    /// What is accepted, sorted by name.
    pub accepted: &'static [Parameter],
    /// What is refused with a reason of its own. Names are in lower case.
    pub refused: &'static [Refusal],
    /// Whether `max-connections` is the same name as `max_connections`; the lists have the latter.
    pub dash_is_underscore: bool,
    /// What a value of the right type may still break, given the rest of the spec.
    pub check: fn(&Parameter, &str, &InstanceSpec) -> Option<String>,
}

impl Catalogue {
    /// The parameter of a name; case does not matter.
    pub fn find(&self, name: &str) -> Option<&'static Parameter> {
        let name = self.plain(name);
        self.accepted.iter().find(|p| p.name.eq_ignore_ascii_case(&name))
    }

    /// The names of accepted parameters.
    pub fn names(&self) -> Vec<String> {
        self.accepted.iter().map(|p| p.name.to_owned()).collect()
    }

    /// Every fault of a spec's parameters.
    pub fn faults(&self, spec: &InstanceSpec) -> Vec<FieldError> {
        let mut seen = BTreeSet::new();
        spec.parameters
            .iter()
            .filter_map(|(name, value)| {
                let message = match self.find(name) {
                    Some(parameter) if !seen.insert(parameter.name) => {
                        Some(format!("`{}` is given twice, in different case", parameter.name))
                    }
                    Some(parameter) => self.fault(parameter, value.trim(), spec),
                    None => Some(refused::reason(self, name)),
                };
                message.map(|message| FieldError::new(format!("spec.parameters.{name}"), message))
            })
            .collect()
    }

    /// `presets`, overridden by the parameters of a spec.
    ///
    /// [`Catalogue::faults`] refuses what is not on the list; it is left out here too, since `build` may be called
    /// without it.
    pub fn settings(
        &self,
        presets: impl IntoIterator<Item = (&'static str, String)>,
        spec: &InstanceSpec,
    ) -> BTreeMap<&'static str, String> {
        let mut settings: BTreeMap<_, _> = presets.into_iter().collect();
        for (name, value) in &spec.parameters {
            if let Some(parameter) = self.find(name) {
                settings.insert(parameter.name, value.trim().to_owned());
            }
        }
        settings
    }

    fn fault(&self, parameter: &Parameter, value: &str, spec: &InstanceSpec) -> Option<String> {
        if parameter.kind.accepts(value) {
            return (self.check)(parameter, value, spec);
        }
        Some(format!(
            "`{}` is not accepted; {}",
            value.escape_debug(),
            parameter.kind
        ))
    }

    fn plain(&self, name: &str) -> String {
        let lower = name.to_ascii_lowercase();
        if self.dash_is_underscore {
            lower.replace('-', "_")
        } else {
            lower
        }
    }
}
