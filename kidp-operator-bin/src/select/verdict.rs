//! What is said of one broker: what it scores, or why it is refused.

use std::fmt;

use kidp_core::crd::{BrokerPhase, TopologyKey};

/// What speaks for a broker that fits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Its `spec.priority`.
    pub priority: f64,
    /// The share of its places that is free, in percent.
    pub free: f64,
    /// The bonus for having answered a moment ago.
    pub heartbeat: f64,
    /// What it loses for those there whom the resource would rather be apart from.
    pub apart: f64,
    /// What a low price is worth to the resource.
    pub cost: f64,
}

impl Score {
    /// All of it.
    pub fn total(self) -> f64 {
        self.priority + self.free + self.heartbeat + self.cost - self.apart
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            priority,
            free,
            heartbeat,
            apart,
            cost,
        } = self;
        write!(f, "{:.1} (priority {priority:.0}, free {free:.0}", self.total())?;
        if *heartbeat > 0.0 {
            write!(f, ", heartbeat {heartbeat:.0}")?;
        }
        if *cost > 0.0 {
            write!(f, ", cost {cost:.0}")?;
        }
        if *apart > 0.0 {
            write!(f, ", anti-affinity -{apart:.0}")?;
        }
        f.write_str(")")
    }
}

/// What speaks for or against one broker.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It fits.
    Fits(Score),
    /// `spec.target.broker` names another.
    NotTheTarget,
    /// It does not serve this kind and engine.
    NotCapable,
    /// It is in another region than asked for.
    OtherRegion,
    /// It is at another cloud provider than asked for.
    OtherCloudProvider,
    /// Data there may leave the jurisdiction that was asked for.
    OtherJurisdiction,
    /// Data there may leave the jurisdiction that the tenant's data has to stay in.
    OtherJurisdictionThanTenant,
    /// So many whom the resource must be apart from are in the same domain of this topology.
    SharedWith(TopologyKey, u32),
    /// It is not known to answer.
    NotReady(BrokerPhase),
    /// It is at work on as many instances as it takes at once.
    Full(u32),
}

impl Verdict {
    /// Whether time alone can turn a refusal into acceptance.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::NotReady(_) | Self::Full(_) | Self::SharedWith(..))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fits(score) => write!(f, "fits with score {score}"),
            Self::NotTheTarget => f.write_str("is not spec.target.broker"),
            Self::NotCapable => f.write_str("does not provision this engine"),
            Self::OtherRegion => f.write_str("is not in spec.target.region"),
            Self::OtherCloudProvider => f.write_str("is not at spec.target.cloudProvider"),
            Self::OtherJurisdiction => f.write_str("does not keep data in spec.target.dataResidency"),
            Self::OtherJurisdictionThanTenant => {
                f.write_str("does not keep data in the tenant's spec.dataResidency")
            }
            Self::SharedWith(topology, count) => {
                let topology = match topology {
                    TopologyKey::Broker => "broker",
                    TopologyKey::Region => "region",
                    TopologyKey::CloudProvider => "cloud provider",
                };
                write!(
                    f,
                    "is a {topology} with {count} of those that spec.target.antiAffinity keeps apart"
                )
            }
            Self::NotReady(phase) => write!(f, "is {phase:?}"),
            Self::Full(limit) => write!(f, "is at its limit of {limit} concurrent deployments"),
        }
    }
}
