//! Trace context: to which trace a request, a record or a callback belongs, as the header `traceparent` of W3C Trace
//! Context says it. Pure: randomness is passed in.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use rand::{Rng, RngExt as _};
use thiserror::Error;

use crate::names::short_hash;

/// Name of the header.
pub const HEADER: &str = "traceparent";

/// Length of what version 00 says; later versions may say more after it.
const LENGTH: usize = 55;
/// The only flag that is known.
const SAMPLED: u8 = 1;

/// A place in a trace: the trace, and the span that what follows is a child of.
///
/// ```
/// use kidp_core::trace::TraceParent;
///
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent: TraceParent = header.parse()?;
/// assert!(parent.is_sampled());
/// assert_eq!(parent.to_string(), header);
/// # Ok::<(), kidp_core::trace::TraceParentError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: NonZeroU128,
    span_id: NonZeroU64,
    sampled: bool,
}

/// The text is no `traceparent`. A receiver goes on as if there were none.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("is not a traceparent of W3C Trace Context")]
pub struct TraceParentError;

impl TraceParent {
    /// This span of this trace.
    pub const fn new(trace_id: NonZeroU128, span_id: NonZeroU64, sampled: bool) -> Self {
        Self {
            trace_id,
            span_id,
            sampled,
        }
    }

    /// The root of the trace of one generation of an object. It follows from the object alone, so that nobody has to keep
    /// it, and whoever comes back to the object after a restart goes on with the same trace.
    ///
    /// ```
    /// use kidp_core::trace::TraceParent;
    ///
    /// let root = TraceParent::of_generation("uid-1", 1);
    /// assert_eq!(root, TraceParent::of_generation("uid-1", 1));
    /// assert_ne!(root.trace_id(), TraceParent::of_generation("uid-1", 2).trace_id());
    /// ```
    pub fn of_generation(uid: &str, generation: i64) -> Self {
        let hash = short_hash(&[HEADER, uid, &generation.to_string()], 48);
        let (trace, span) = hash.split_at(32);
        // Neither is zero but by a chance that nobody meets.
        let trace_id = u128::from_str_radix(trace, 16).ok().and_then(NonZeroU128::new);
        let span_id = u64::from_str_radix(span, 16).ok().and_then(NonZeroU64::new);
        Self {
            trace_id: trace_id.unwrap_or(NonZeroU128::MIN),
            span_id: span_id.unwrap_or(NonZeroU64::MIN),
            sampled: true,
        }
    }

    /// A new trace.
    pub fn random(rng: &mut (impl Rng + ?Sized)) -> Self {
        Self {
            trace_id: rng.random(),
            span_id: rng.random(),
            sampled: true,
        }
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn child(self, rng: &mut (impl Rng + ?Sized)) -> Self {
        Self {
            span_id: rng.random(),
            ..self
        }
    }

    /// The same place, and whether its spans are recorded.
    #[must_use]
    pub const fn sampled(self, sampled: bool) -> Self {
        Self { sampled, ..self }
    }

    /// The trace.
    pub const fn trace_id(self) -> NonZeroU128 {
        self.trace_id
    }

    /// The span.
    pub const fn span_id(self) -> NonZeroU64 {
        self.span_id
    }

    /// Whether the caller may have recorded its span.
    pub const fn is_sampled(self) -> bool {
        self.sampled
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled) * SAMPLED;
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.span_id)
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = text.get(..LENGTH).ok_or(TraceParentError)?;
        let more = text.get(LENGTH..).unwrap_or_default();
        let mut parts = known.split('-');
        let mut part = |length| parts.next().and_then(|part| hex(part, length));
        let (version, trace_id, span_id, flags) = (part(2), part(32), part(16), part(2));
        let is_known = match version.ok_or(TraceParentError)? {
            0 => more.is_empty(),
            0xff => false,
            _ => more.is_empty() || more.starts_with('-'),
        };
        let narrow = |id: u128| NonZeroU64::new(u64::try_from(id).ok()?);
        let found = Self {
            trace_id: trace_id.and_then(NonZeroU128::new).ok_or(TraceParentError)?,
            span_id: span_id.and_then(narrow).ok_or(TraceParentError)?,
            sampled: flags.ok_or(TraceParentError)? & u128::from(SAMPLED) != 0,
        };
        is_known.then_some(found).ok_or(TraceParentError)
    }
}

/// A number of exactly so many lower-case hex digits.
fn hex(text: &str, length: usize) -> Option<u128> {
    let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != length || !text.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_parent() -> impl Strategy<Value = TraceParent> {
        (1..=u128::MAX, 1..=u64::MAX, any::<bool>()).prop_map(|(trace_id, span_id, sampled)| TraceParent {
            trace_id: NonZeroU128::new(trace_id).unwrap(),
            span_id: NonZeroU64::new(span_id).unwrap(),
            sampled,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(parent in any_parent()) {
            prop_assert_eq!(parent.to_string().len(), LENGTH);
            prop_assert_eq!(parent.to_string().parse(), Ok(parent));
        }

        #[test]
        fn a_later_version_may_say_more(parent in any_parent(), version in 1_u8..0xff, more in "(-.{0,20})?") {
            let text = format!("{version:02x}{}{more}", &parent.to_string()[2..]);
            prop_assert_eq!(text.parse(), Ok(parent));
        }

        #[test]
        fn no_text_is_read_as_what_it_is_not(text in "(00|ff|01)?-?[0-9a-fA-F -]{0,60}|.{0,60}") {
            if let Ok(parent) = text.parse::<TraceParent>() {
                prop_assert_eq!(&parent.to_string()[2..53], &text[2..53]);
            }
        }

        #[test]
        fn one_changed_character_is_another_place_or_none(parent in any_parent(), at in 0..53_usize, to in "[ -~]") {
            let mut text = parent.to_string();
            let same = &text[at..=at] == to.as_str();
            text.replace_range(at..=at, &to);
            // The version is no part of the place.
            prop_assert!(same || at < 2 || text.parse() != Ok(parent));
        }

        #[test]
        fn a_child_stays_in_its_trace(parent in any_parent()) {
            let child = parent.child(&mut rand::rng());
            prop_assert_eq!(child.trace_id(), parent.trace_id());
            prop_assert_eq!(child.is_sampled(), parent.is_sampled());
            prop_assert_ne!(child.span_id(), parent.span_id());
        }

        #[test]
        fn each_generation_of_each_object_has_its_own_trace(uid in "[a-z0-9-]{1,36}", generation in 1..i64::MAX) {
            let root = TraceParent::of_generation(&uid, generation);
            let next = TraceParent::of_generation(&uid, generation - 1);
            let other = TraceParent::of_generation(&format!("{uid}0"), generation);
            prop_assert_eq!(root, TraceParent::of_generation(&uid, generation));
            prop_assert!(root.trace_id() != next.trace_id() && root.trace_id() != other.trace_id());
            prop_assert!(root.span_id() != next.span_id());
        }
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let (no_trace, no_span) = ("0".repeat(32), "0".repeat(16));
        for bad in [
            String::new(),
            format!("ff-{trace}-{span}-01"),
            format!("00-{no_trace}-{span}-01"),
            format!("00-{trace}-{no_span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{span}-01-more"),
            format!("00-{trace}-{span}-0"),
            format!("00-{trace}-{span}-0x"),
            format!("01-{trace}-{span}-01more"),
            format!(" 00-{trace}-{span}-01"),
            format!("00_{trace}_{span}_01"),
            format!("00-{trace}-{span}-+1"),
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(TraceParentError), "{bad}");
        }
        let other_flags: TraceParent = format!("00-{trace}-{span}-02").parse().unwrap();
        assert!(!other_flags.is_sampled());
    }

    #[test]
    fn new_traces_differ() {
        let mut rng = rand::rng();
        let (one, two) = (TraceParent::random(&mut rng), TraceParent::random(&mut rng));
        assert!(one.is_sampled() && one.trace_id() != two.trace_id());
        assert!(!one.sampled(false).is_sampled());
    }
}
