//! What instances cost: prices, estimates and charges, without a clock and without rounding.
//!
//! ```text
//! PriceBook ─ rates ─> most specific match ─> price of each component
//! Shape (size, members, storage) ───────────────────┘│
//!                             a month ─> estimate    └─> usage interval ─> charges
//! ```
//!
//! An estimate is the charge of one month of [`MONTH_HOURS`] hours, so that both rest on the same lines. Amounts are
//! whole numbers of a unit so small that every charge is one, see [`Amount`]: to split an interval changes no sum.
//! What has no price is an error that says what is missing, never zero.

mod amount;
mod charge;
mod estimate;
mod price;
mod shape;
#[cfg(test)]
mod testing;
mod usage;

pub use amount::{Amount, Price, PriceTextError};
pub use charge::{Charge, charges};
pub use estimate::{Difference, Estimate, Line, difference, estimate};
pub use price::{Component, PriceError, Priced, price};
pub use shape::{Location, Shape};
pub use usage::{Step, Wanted, close, is_open, next_step};

/// Hours that a month has when a monthly price is made of an hourly one, or the other way round: 365 days of 24 hours
/// over 12 months. The figure of the price calculators of cloud providers, and of `OpenCost`, whose default price of
/// storage is 0.04 a month over 730 hours: <https://www.opencost.io/docs/configuration/on-prem>.
pub const MONTH_HOURS: u32 = 730;

/// The same in seconds.
pub const MONTH_SECONDS: i64 = MONTH_HOURS as i64 * 3600;
