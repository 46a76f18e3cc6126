//! Which rate of a price book is an instance's.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Amount, Location, Price, Shape};
use crate::crd::{PriceBookSpec, Rate, RateMatch};

/// A part of the cost of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Component {
    /// Members with their CPU and memory, by the hour.
    Compute,
    /// CPU cores, by the hour.
    Cpu,
    /// Memory, by the GiB and hour.
    Memory,
    /// Volumes, by the GiB and month.
    Storage,
    /// Backups, by the GiB of the volume and month.
    Backup,
}

impl Component {
    /// The name as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Storage => "storage",
            Self::Backup => "backup",
        }
    }

    /// What it is counted in.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Compute => "Instance-Hours",
            Self::Cpu => "Core-Hours",
            Self::Memory => "GiB-Hours",
            Self::Storage | Self::Backup => "GiB-Months",
        }
    }

    /// How many there are of an instance: members, cores, or MiB.
    pub(super) fn quantity(self, shape: &Shape) -> u64 {
        match self {
            Self::Compute => u64::from(shape.members),
            Self::Cpu => shape.cpu_cores(),
            Self::Memory => shape.memory_mebibytes(),
            Self::Storage => shape.all_storage_mebibytes(),
            Self::Backup => shape.storage_mebibytes,
        }
    }

    /// What an instance costs by this for so many seconds.
    pub(super) fn amount(self, price: Price, shape: &Shape, seconds: i64) -> Result<Amount, PriceError> {
        let amount = self.times(price, self.quantity(shape), seconds);
        amount.ok_or(PriceError::TooLarge { what: self })
    }

    /// What so much of it costs for so many seconds.
    pub(super) fn times(self, price: Price, quantity: u64, seconds: i64) -> Option<Amount> {
        match self {
            Self::Compute | Self::Cpu => price.hourly(quantity, seconds),
            Self::Memory => price.gib_hourly(quantity, seconds),
            Self::Storage | Self::Backup => price.gib_monthly(quantity, seconds),
        }
    }
}

/// A component with its price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priced {
    /// The component.
    pub component: Component,
    /// Name of the rate.
    pub rate: String,
    /// The price of a unit.
    pub price: Price,
}

/// Why something has no price.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PriceError {
    /// No rate is for it, or none is in effect yet.
    #[error("no rate has a price for the {} of {shape} at {location}", what.as_str())]
    Unknown {
        /// What has no price.
        what: Component,
        /// Of what, in words.
        shape: String,
        /// Where.
        location: String,
    },
    /// Two rates are for it, and neither is more specific or newer.
    #[error("spec.rates: `{first}` and `{second}` both have a price for the {}, and neither matches more fields", what.as_str())]
    Ambiguous {
        /// What has two prices.
        what: Component,
        /// One rate.
        first: String,
        /// The other.
        second: String,
    },
    /// What the schema would have refused.
    #[error("spec.rates[{rate}].{field}: {reason}")]
    Invalid {
        /// The rate.
        rate: String,
        /// The field of it.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Beyond what an amount holds.
    #[error("the cost of the {} is beyond what can be counted", what.as_str())]
    TooLarge {
        /// Of what.
        what: Component,
    },
    /// The size of the volume cannot be read.
    #[error("spec.storage.size: {0}")]
    Storage(#[from] crate::quantity::QuantityError),
}

impl PriceError {
    /// The reason, as one word for a condition.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "PriceUnknown",
            Self::Ambiguous { .. } => "PriceAmbiguous",
            Self::Invalid { .. } => "PriceInvalid",
            Self::TooLarge { .. } | Self::Storage(_) => "CostNotComputable",
        }
    }
}

impl RateMatch {
    /// How many fields it names, or `None` where one of them is not the instance's.
    fn specificity(&self, shape: &Shape, location: &Location) -> Option<usize> {
        fn is<T: PartialEq + ?Sized>(wanted: Option<&T>, have: &T) -> Option<bool> {
            wanted.map(|wanted| wanted == have)
        }
        let class = self.storage_class.as_deref();
        let fields = [
            is(self.cloud_provider.as_ref(), &location.cloud_provider),
            is(self.region.as_ref(), &location.region),
            is(self.resource_type.as_ref(), &shape.resource_type),
            is(self.engine.as_ref(), &shape.engine),
            is(self.size.as_ref(), &shape.size),
            is(self.high_availability.as_ref(), &shape.high_availability),
            class.map(|class| shape.storage_class.as_deref() == Some(class)),
        ];
        let named: Vec<bool> = fields.into_iter().flatten().collect();
        named.iter().all(|holds| *holds).then_some(named.len())
    }
}

/// The prices of a component at a moment: one, or CPU and memory where compute is priced by them.
pub fn price(
    book: &PriceBookSpec,
    what: Component,
    shape: &Shape,
    location: &Location,
    at: Timestamp,
) -> Result<Vec<Priced>, PriceError> {
    let mut best: Vec<&Rate> = Vec::new();
    let mut most = 0;
    for rate in &book.rates {
        let effective = rate.effective_from.as_ref().is_none_or(|from| from.0 <= at);
        let Some(named) = rate.matches.specificity(shape, location) else {
            continue;
        };
        if !effective || prices(rate, what).is_empty() || named < most {
            continue;
        }
        if named > most {
            best.clear();
            most = named;
        }
        best.push(rate);
    }
    let rate = newest(what, &best)?.ok_or_else(|| PriceError::Unknown {
        what,
        shape: shape.to_string(),
        location: location.to_string(),
    })?;
    prices(rate, what)
        .into_iter()
        .map(|(component, field, text)| {
            let price = Price::parse(text).map_err(|error| PriceError::Invalid {
                rate: rate.name.clone(),
                field,
                reason: error.to_string(),
            })?;
            Ok(Priced {
                component,
                rate: rate.name.clone(),
                price,
            })
        })
        .collect()
}

/// Of versions of one rate, the one that took effect last.
fn newest<'a>(what: Component, rates: &[&'a Rate]) -> Result<Option<&'a Rate>, PriceError> {
    let since = |rate: &Rate| rate.effective_from.as_ref().map(|from| from.0);
    let Some(newest) = rates.iter().copied().max_by_key(|rate| since(rate)) else {
        return Ok(None);
    };
    let rival = rates.iter().find(|rate| {
        rate.name != newest.name && (rate.matches != newest.matches || since(rate) == since(newest))
    });
    match rival {
        Some(rival) => {
            let mut names = [newest.name.clone(), rival.name.clone()];
            names.sort();
            let [first, second] = names;
            Err(PriceError::Ambiguous { what, first, second })
        }
        None => Ok(Some(newest)),
    }
}

/// What a rate says of a component, with the names of the fields.
fn prices(rate: &Rate, what: Component) -> Vec<(Component, &'static str, &str)> {
    let (instance, cpu, memory) = (&rate.instance_hour, &rate.cpu_hour, &rate.memory_gib_hour);
    match what {
        Component::Storage => one(what, "storageGiBMonth", rate.storage_gib_month.as_deref()),
        Component::Backup => one(what, "backupGiBMonth", rate.backup_gib_month.as_deref()),
        Component::Compute | Component::Cpu | Component::Memory => match (instance, cpu, memory) {
            (Some(text), _, _) => vec![(Component::Compute, "instanceHour", text.as_str())],
            (None, Some(cpu), Some(memory)) => vec![
                (Component::Cpu, "cpuHour", cpu.as_str()),
                (Component::Memory, "memoryGiBHour", memory.as_str()),
            ],
            // Half of a price is none.
            (None, _, _) => Vec::new(),
        },
    }
}

fn one<'a>(
    component: Component,
    field: &'static str,
    text: Option<&'a str>,
) -> Vec<(Component, &'static str, &'a str)> {
    text.map(|text| (component, field, text)).into_iter().collect()
}

#[cfg(test)]
mod tests;
