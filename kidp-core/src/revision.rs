//! Render revisions: which rendering of an engine an instance was made with.
//!
//! A newer SDK may render a better pod. An instance keeps the revision that it was made with, so that an upgrade of
//! the broker restarts no database; someone moves it on when a restart suits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Number of a rendering of one engine, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Revision(#[schemars(range(min = 1, max = 10_000))] u32);

impl Revision {
    /// The rendering that every engine begins with.
    pub const FIRST: Self = Self(1);

    /// The revision of this number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Every revision from the first to this one.
    pub fn up_to(self) -> impl Iterator<Item = Self> {
        (1..=self.0).map(Self)
    }
}

impl Default for Revision {
    fn default() -> Self {
        Self::FIRST
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
