//! The same request renders the same objects, whenever and in whatever order it is asked.
//!
//! What differs between two renderings is written at every reconciliation and restarts pods for nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::objects::{Notes, PASSWORD, judge, render};
use super::report::{Check, Finding};
use super::samples::Samples;
use crate::instance::Instance;
use crate::manifests::{Manifests, Prepared};
use crate::provisioner::Provisioner;

/// Renderings of one sample in a row: a map that forgets its order gives the same one twice by chance.
const REPEATS: usize = 4;

/// Checks that rendering depends on the instance and its credentials alone.
///
/// Each sample is rendered several times in a row, and once more after all others in reverse order. Since a clock may
/// stand still meanwhile, texts are also searched for the current time; that is the only thing for which this kit
/// reads a clock.
pub fn determinism(provisioner: &dyn Provisioner, samples: &Samples) -> Vec<Finding> {
    let mut notes = Notes::new(Check::Determinism);
    let rendered = |instance| {
        let manifests = render(provisioner, instance, PASSWORD).ok()?;
        Some(manifests.objects().to_vec())
    };
    let first: Vec<_> = samples.instances().iter().map(rendered).collect();
    for (instance, first) in samples.instances().iter().zip(&first) {
        let differs = (1..REPEATS).any(|_| rendered(instance) != *first);
        notes.require(!differs, instance, "", || {
            "is rendered differently when asked again".to_owned()
        });
        let (once, again) = (verdict(provisioner, instance), verdict(provisioner, instance));
        notes.require(once == again, instance, "", || {
            "is judged differently when asked again: validate, credentials or connection".to_owned()
        });
    }
    for (instance, first) in samples.instances().iter().zip(&first).rev() {
        notes.require(rendered(instance) == *first, instance, "", || {
            "is rendered differently after other instances".to_owned()
        });
    }
    let mut findings = notes.findings();
    findings.extend(judge(provisioner, samples, Check::Determinism, times));
    findings
}

/// Everything but the objects that is asked of a provisioner.
fn verdict(provisioner: &dyn Provisioner, instance: &Instance) -> impl PartialEq {
    let credentials = provisioner.credentials(instance, PASSWORD.to_owned());
    (
        provisioner.validate(instance),
        (credentials.username, credentials.password, credentials.database),
        provisioner.connection(instance),
        provisioner.capabilities(),
    )
}

/// Looks for the current time.
fn times(instance: &Instance, manifests: &Manifests<Prepared>, notes: &mut Notes) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for object in manifests.objects() {
        let text = object.json().to_string();
        notes.require(!has_date(&text), instance, &object.key(), || {
            "has a date and time in it; what is rendered must not depend on when".to_owned()
        });
        notes.require(!has_epoch(&text, now), instance, &object.key(), || {
            "has the current time in it, counted from 1970".to_owned()
        });
    }
}

/// Whether a text has the start of an RFC 3339 date and time, such as `2026-01-01T00:00`.
fn has_date(text: &str) -> bool {
    let shape = b"0000-00-00T00:00";
    text.as_bytes().windows(shape.len()).any(|window| {
        let fits = |(c, shape): (&u8, &u8)| match shape {
            b'0' => c.is_ascii_digit(),
            b'T' => matches!(c, b'T' | b't' | b' '),
            shape => c == shape,
        };
        // Most texts are told by one character.
        window[4] == b'-' && window.iter().zip(shape).all(fits)
    })
}

/// Whether a text has a number that is `now` in seconds, milliseconds, microseconds or nanoseconds, give or take a
/// minute.
fn has_epoch(text: &str, now: Duration) -> bool {
    let unit = |digits: usize| match digits {
        10 => Some(1),
        13 => Some(1_000),
        16 => Some(1_000_000),
        19 => Some(1_000_000_000),
        _ => None,
    };
    text.split(|c: char| !c.is_ascii_digit()).any(|number| {
        let seconds = unit(number.len()).and_then(|unit| Some(number.parse::<u64>().ok()? / unit));
        seconds.is_some_and(|seconds| seconds.abs_diff(now.as_secs()) <= 60)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_numbers() {
        assert!(has_date("at 2026-01-01T00:00:00Z."));
        assert!(!has_date("name: orders-2026-01-01-config, port 12:30"));
        let now = Duration::from_secs(1_790_000_000);
        for text in [
            "1790000001",
            "built:1789999999123",
            "\"1790000000123456\"",
            "x1790000000123456789y",
        ] {
            assert!(has_epoch(text, now), "{text}");
        }
        for text in ["2147483648", "17900000010", "1780000000", ""] {
            assert!(!has_epoch(text, now), "{text}");
        }
    }
}
