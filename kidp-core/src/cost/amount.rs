//! Money: prices as decimals with nine places, and amounts that are sums of price × quantity × seconds, exactly.

use std::fmt;
use std::iter::Sum;

use thiserror::Error;

use super::MONTH_SECONDS;

/// Billionths of the currency in one.
const BILLIONTHS: i128 = 1_000_000_000;
/// Mebibytes in a gibibyte.
const MIB_PER_GIB: i128 = 1024;
/// Units of an [`Amount`] in one of the currency: a billionth, over the seconds of a month, over the mebibytes of a
/// gibibyte. A price for a GiB and a month, times whole MiB and whole seconds, is a whole number of these.
const UNITS: i128 = BILLIONTHS * MONTH_SECONDS as i128 * MIB_PER_GIB;

/// Why a text is not a price.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a price: write a number such as 0.034, with at most 9 digits on either side of the point"
)]
pub struct PriceTextError(pub String);

/// A price for a unit of something, in billionths of the currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(u64);

impl Price {
    /// One of the currency.
    pub(super) const ONE: Self = Self(1_000_000_000);

    /// Reads a decimal number.
    ///
    /// ```
    /// use kidp_core::cost::Price;
    /// assert_eq!(Price::parse("0.034").unwrap().to_string(), "0.034");
    /// assert!(Price::parse("-1").is_err() && Price::parse("1e3").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, PriceTextError> {
        let refused = || PriceTextError(text.chars().take(40).collect());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| (1..=9).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(refused());
        }
        let billionths = format!("{whole}{fraction:0<9}").parse().map_err(|_| refused())?;
        Ok(Self(billionths))
    }

    /// What `units` cost for so many seconds at this price an hour.
    pub(super) fn hourly(self, units: u64, seconds: i64) -> Option<Amount> {
        self.times(units, seconds, i128::from(super::MONTH_HOURS) * MIB_PER_GIB)
    }

    /// What so many MiB cost for so many seconds at this price for a GiB and an hour.
    pub(super) fn gib_hourly(self, mebibytes: u64, seconds: i64) -> Option<Amount> {
        self.times(mebibytes, seconds, i128::from(super::MONTH_HOURS))
    }

    /// What so many MiB cost for so many seconds at this price for a GiB and a month.
    pub(super) fn gib_monthly(self, mebibytes: u64, seconds: i64) -> Option<Amount> {
        self.times(mebibytes, seconds, 1)
    }

    fn times(self, quantity: u64, seconds: i64, scale: i128) -> Option<Amount> {
        let product = i128::from(self.0).checked_mul(i128::from(quantity))?;
        product
            .checked_mul(i128::from(seconds))?
            .checked_mul(scale)
            .map(Amount)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{fraction:09}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

/// An amount of one currency, exact. It is rounded only where it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(i128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, held at the largest amount there is: some 10^19 of the currency.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// As a decimal number with so many places, at most nine; a half goes to the even digit.
    ///
    /// ```
    /// use kidp_core::cost::Amount;
    /// assert_eq!(Amount::of_number(12.5).unwrap().to_decimal(2), "12.50");
    /// ```
    pub fn to_decimal(self, places: u32) -> String {
        let scale = 10_u128.pow(places.min(9));
        let (units, value) = (UNITS.unsigned_abs(), self.0.unsigned_abs());
        let scaled = value % units * scale;
        let (total, left) = (value / units * scale + scaled / units, scaled % units);
        let total = total
            + match (left * 2).cmp(&units) {
                std::cmp::Ordering::Greater => 1,
                std::cmp::Ordering::Equal => total % 2,
                std::cmp::Ordering::Less => 0,
            };
        let sign = if self.0 < 0 && total > 0 { "-" } else { "" };
        let (whole, fraction) = (total / scale, total % scale);
        if places == 0 {
            return format!("{sign}{whole}");
        }
        format!("{sign}{whole}.{fraction:0width$}", width = places.min(9) as usize)
    }

    /// In whole hundredths of the currency, rounded as [`Self::to_decimal`] does; nothing where it is below nothing.
    pub fn hundredths(self) -> u64 {
        if self.0 < 0 {
            return 0;
        }
        self.to_decimal(2).replace('.', "").parse().unwrap_or(u64::MAX)
    }

    /// In hundredths of the currency, as the nearest number: for statuses, never for sums.
    pub fn to_number(self) -> f64 {
        self.to_decimal(2).parse().unwrap_or(f64::MAX)
    }

    /// The amount that a status or a budget means by a number, to the hundredth. `None` for what is no amount.
    pub fn of_number(number: f64) -> Option<Self> {
        if !(0.0..1e12).contains(&number) {
            return None;
        }
        let hundredths: i128 = format!("{number:.2}").replace('.', "").parse().ok()?;
        hundredths.checked_mul(UNITS / 100).map(Self)
    }

    /// Whole percent that this is of `limit`, rounded down; `None` where the limit is nothing.
    pub fn percent_of(self, limit: Self) -> Option<u32> {
        if limit.0 <= 0 {
            return None;
        }
        let percent = self.0.checked_mul(100)? / limit.0;
        Some(u32::try_from(percent).unwrap_or(u32::MAX))
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Self::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn price(text: &str) -> Price {
        Price::parse(text).unwrap()
    }

    #[test]
    fn known_amounts() {
        // 0.10 an hour for 36 hours.
        let amount = price("0.10").hourly(1, 36 * 3600).unwrap();
        assert_eq!(amount.to_decimal(2), "3.60");
        // 10 GiB for a month at 0.08.
        let amount = price("0.08").gib_monthly(10 * 1024, MONTH_SECONDS).unwrap();
        assert_eq!(amount.to_decimal(9), "0.800000000");
        // A third of a cent is rounded at the end only.
        let third = price("0.01").hourly(1, 1200).unwrap();
        assert_eq!(third.to_decimal(4), "0.0033");
        assert_eq!(third.plus(third).plus(third).to_decimal(9), "0.010000000");
        assert_eq!(Amount::ZERO.minus(third).to_decimal(3), "-0.003");
    }

    #[test]
    fn a_half_goes_to_the_even_digit() {
        let half = |text: &str| price(text).hourly(1, 3600).unwrap().to_decimal(0);
        assert_eq!(
            [half("0.5"), half("1.5"), half("2.5"), half("2.500000001")],
            ["0", "2", "2", "3"]
        );
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "0.0000000001",
            "1234567890",
            " 1",
        ] {
            assert!(Price::parse(bad).is_err(), "{bad}");
        }
    }

    type Form = fn(Price, u64, i64) -> Option<Amount>;

    proptest! {
        #[test]
        fn a_split_changes_nothing(p in 0_u64..10_u64.pow(15), n in 0_u64..1 << 20, a in 0_i64..10_000_000, b in 0_i64..10_000_000) {
            let price = Price(p);
            let forms: [Form; 3] = [Price::hourly, Price::gib_hourly, Price::gib_monthly];
            for of in forms {
                let (x, y, z) = (of(price, n, a).unwrap(), of(price, n, b).unwrap(), of(price, n, a + b).unwrap());
                prop_assert_eq!(x.plus(y), z);
            }
        }

        #[test]
        fn a_written_price_is_read_again(p in 0_u64..10_u64.pow(18)) {
            prop_assert_eq!(Price::parse(&Price(p).to_string()), Ok(Price(p)));
        }

        #[test]
        fn never_panics(text in ".{0,30}", number in any::<f64>()) {
            let _ = Price::parse(&text);
            let _ = Amount::of_number(number);
        }

        #[test]
        fn a_number_of_a_status_is_read_again(cents in 0_u32..1_000_000_000) {
            let number = f64::from(cents) / 100.0;
            let amount = Amount::of_number(number).unwrap();
            prop_assert_eq!(Amount::of_number(amount.to_number()), Some(amount));
        }
    }
}
