//! Instance sizes: four presets that an application team picks from, and what each gives a pod.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const GIB: u64 = 1024 * 1024 * 1024;

/// A preset of CPU and memory for one instance.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// 1 CPU, 2 GiB.
    #[default]
    Small,
    /// 2 CPU, 4 GiB.
    Medium,
    /// 4 CPU, 8 GiB.
    Large,
    /// 8 CPU, 16 GiB.
    Xlarge,
}

impl Size {
    /// Every size, from the smallest up.
    pub const ALL: [Self; 4] = [Self::Small, Self::Medium, Self::Large, Self::Xlarge];

    /// CPU limit, in whole cores.
    pub const fn cpu_cores(self) -> u32 {
        match self {
            Self::Small => 1,
            Self::Medium => 2,
            Self::Large => 4,
            Self::Xlarge => 8,
        }
    }

    /// Memory limit, in bytes.
    pub const fn memory_bytes(self) -> u64 {
        self.cpu_cores() as u64 * 2 * GIB
    }

    /// The name as it is written in a spec.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
            Self::Xlarge => "xlarge",
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_two_gib_a_core() {
        let gib: Vec<_> = Size::ALL.iter().map(|s| s.memory_bytes() / GIB).collect();
        assert_eq!(gib, [2, 4, 8, 16]);
    }

    #[test]
    fn name_round_trips_through_serde() {
        for size in Size::ALL {
            assert_eq!(serde_json::to_value(size).unwrap(), size.as_str());
        }
    }
}
