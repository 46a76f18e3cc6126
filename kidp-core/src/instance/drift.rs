//! What is done about drift: a policy, rules for single fields, and when pods may be restarted for it.
//!
//! Both a resource and its team have these settings. What a broker is given is the two in one, see
//! [`DriftSpec::over`]: it knows no teams.

use jiff::civil::{Time, Weekday};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::FieldError;

/// Most rules of a resource, and of a team.
pub const MAX_RULES: usize = 32;

/// What is done about drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriftPolicy {
    /// Put back what was changed.
    #[default]
    Remediate,
    /// Say so, change nothing.
    Alert,
    /// Neither.
    Ignore,
}

/// What is done about drift of some fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DriftRule {
    /// The objects: a kind or `Kind/name`, in which `*` stands for any text.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9*./-]+$"))]
    pub object: String,
    /// Their fields: a path such as `spec.template`, and whatever is below it; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub path: Option<String>,
    /// What is done.
    pub policy: DriftPolicy,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// When pods may be restarted to put something back, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MaintenanceWindow {
    /// Days on which it opens; every day when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub days: Vec<Day>,
    /// When it opens, as hours and minutes: `02:30`.
    #[schemars(length(equal = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub start: String,
    /// How long it is open: `90m`, `4h`; a day at the most.
    #[schemars(length(min = 2, max = 5), regex(pattern = "^[1-9][0-9]{0,3}[mh]$"))]
    pub duration: String,
}

/// Drift settings of a resource or a team.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DriftSpec {
    /// What is done about fields that no rule speaks of; the team's when absent, and `remediate` without one. What would
    /// touch data, go back a major version or take away what somebody added in size is reported only, unless a rule
    /// names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<DriftPolicy>,
    /// What is done about single fields; the first that fits holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub rules: Vec<DriftRule>,
    /// When pods may be restarted to put something back; at any time when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_window: Option<MaintenanceWindow>,
}

impl DriftSpec {
    /// These settings where they say something, and a team's where they do not. A policy of one's own holds against the
    /// team's rules.
    #[must_use]
    pub fn over(&self, team: Option<&Self>) -> Self {
        let Some(team) = team else {
            return self.clone();
        };
        let theirs: &[DriftRule] = if self.policy.is_none() { &team.rules } else { &[] };
        Self {
            policy: self.policy.or(team.policy),
            rules: self.rules.iter().chain(theirs).cloned().collect(),
            maintenance_window: self
                .maintenance_window
                .clone()
                .or_else(|| team.maintenance_window.clone()),
        }
    }

    /// What is wrong with the settings in the field `path`.
    pub fn faults(&self, path: &str) -> Vec<FieldError> {
        let mut faults = Vec::new();
        if self.rules.len() > 2 * MAX_RULES {
            let say = format!(
                "has {} entries; at most {} are taken",
                self.rules.len(),
                2 * MAX_RULES
            );
            faults.push(FieldError::new(format!("{path}.rules"), say));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let known = |b: u8| b.is_ascii_alphanumeric() || b"*./-".contains(&b);
            if !(1..=253).contains(&rule.object.len()) || !rule.object.bytes().all(known) {
                let say = "must be a kind or `Kind/name`, in which `*` stands for any text";
                faults.push(FieldError::new(format!("{path}.rules[{index}].object"), say));
            }
            if rule.path.as_ref().is_some_and(|p| !(1..=512).contains(&p.len())) {
                let say = "must be the path of a field, of at most 512 bytes";
                faults.push(FieldError::new(format!("{path}.rules[{index}].path"), say));
            }
        }
        if let Some(window) = &self.maintenance_window {
            faults.extend(window.faults(&format!("{path}.maintenanceWindow")));
        }
        faults
    }
}

impl MaintenanceWindow {
    fn faults(&self, path: &str) -> Vec<FieldError> {
        let mut faults = Vec::new();
        if self.opens_at().is_none() {
            let say = "must be hours and minutes in UTC, such as 02:30";
            faults.push(FieldError::new(format!("{path}.start"), say));
        }
        if self.length().is_none() {
            let say = "must be minutes or hours, such as 90m or 4h, and a day at the most";
            faults.push(FieldError::new(format!("{path}.duration"), say));
        }
        if self.days.len() > 7 {
            faults.push(FieldError::new(format!("{path}.days"), "has more than 7 entries"));
        }
        faults
    }

    fn opens_at(&self) -> Option<Time> {
        let (hour, minute) = self.start.split_once(':')?;
        let number = |text: &str| {
            let is_two_digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
            is_two_digits.then(|| text.parse::<i8>().ok()).flatten()
        };
        Time::new(number(hour)?, number(minute)?, 0, 0).ok()
    }

    fn length(&self) -> Option<SignedDuration> {
        let digits = self.duration.strip_suffix(['m', 'h'])?;
        let is_number = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let number = is_number.then(|| digits.parse::<i64>().ok()).flatten()?;
        let minutes = if self.duration.ends_with('h') {
            number * 60
        } else {
            number
        };
        (1..=24 * 60)
            .contains(&minutes)
            .then(|| SignedDuration::from_mins(minutes))
    }

    fn opens_on(&self, day: Weekday) -> bool {
        let short = match day {
            Weekday::Monday => Day::Mon,
            Weekday::Tuesday => Day::Tue,
            Weekday::Wednesday => Day::Wed,
            Weekday::Thursday => Day::Thu,
            Weekday::Friday => Day::Fri,
            Weekday::Saturday => Day::Sat,
            Weekday::Sunday => Day::Sun,
        };
        self.days.is_empty() || self.days.contains(&short)
    }

    /// How long it takes until the window is open: nothing while it is, none where it never opens.
    pub fn opens_in(&self, now: Timestamp) -> Option<SignedDuration> {
        let (start, length) = (self.opens_at()?, self.length()?);
        let today = Offset::UTC.to_datetime(now).date();
        // Yesterday's may be open still; the eighth day is the same weekday as today.
        (-1..=7).find_map(|days| {
            let date = today.checked_add(jiff::Span::new().days(days)).ok()?;
            let opening = Offset::UTC.to_timestamp(date.to_datetime(start)).ok()?;
            let is_ahead = self.opens_on(date.weekday()) && opening + length > now;
            is_ahead.then(|| opening.duration_since(now).max(SignedDuration::ZERO))
        })
    }

    /// Whether pods may be restarted now.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.opens_in(now).is_some_and(|wait| wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(days: &[Day], start: &str, duration: &str) -> MaintenanceWindow {
        MaintenanceWindow {
            days: days.to_vec(),
            start: start.to_owned(),
            duration: duration.to_owned(),
        }
    }

    #[test]
    fn a_window_is_open_from_its_start_to_its_end_even_over_midnight() {
        // 2026-01-03 is a Saturday.
        let night = window(&[Day::Sat], "23:00", "3h");
        for (now, minutes) in [
            ("2026-01-03T22:59:00Z", 1),
            ("2026-01-03T23:00:00Z", 0),
            ("2026-01-04T01:59:59Z", 0),
            ("2026-01-04T02:00:00Z", 6 * 24 * 60 + 21 * 60),
            ("2026-01-02T23:30:00Z", 23 * 60 + 30),
        ] {
            let opens = night.opens_in(at(now)).unwrap();
            assert_eq!(opens, SignedDuration::from_mins(minutes), "{now}");
            assert_eq!(night.is_open(at(now)), minutes == 0, "{now}");
        }
        assert!(window(&[], "00:00", "24h").is_open(at("2026-01-04T23:59:59Z")));
    }

    #[test]
    fn faults_name_their_fields() {
        let spec = DriftSpec {
            rules: vec![DriftRule {
                object: "Config Map".to_owned(),
                path: Some(String::new()),
                policy: DriftPolicy::Alert,
            }],
            maintenance_window: Some(window(&[], "24:00", "25h")),
            ..DriftSpec::default()
        };
        let fields: Vec<_> = spec.faults("spec.drift").into_iter().map(|f| f.field).collect();
        assert_eq!(
            fields,
            [
                "spec.drift.rules[0].object",
                "spec.drift.rules[0].path",
                "spec.drift.maintenanceWindow.start",
                "spec.drift.maintenanceWindow.duration"
            ]
        );
        for (start, duration) in [
            ("2:00", "1h"),
            ("02:60", "1h"),
            ("+2:00", "1h"),
            ("02:00", "0m"),
            ("02:00", "1d"),
        ] {
            let faults = window(&[], start, duration).faults("w");
            assert_eq!(faults.len(), 1, "{start} {duration}");
        }
        assert_eq!(DriftSpec::default().faults("spec.drift"), []);
    }

    #[test]
    fn what_a_resource_says_holds_against_its_team() {
        let rule = |object: &str| DriftRule {
            object: object.to_owned(),
            path: None,
            policy: DriftPolicy::Ignore,
        };
        let team = DriftSpec {
            policy: Some(DriftPolicy::Alert),
            rules: vec![rule("Service")],
            maintenance_window: Some(window(&[], "02:00", "1h")),
        };
        let mut own = DriftSpec {
            rules: vec![rule("Secret")],
            ..DriftSpec::default()
        };
        assert_eq!(own.over(None), own);
        let both = own.over(Some(&team));
        assert_eq!(both.policy, Some(DriftPolicy::Alert));
        assert_eq!(both.rules, [rule("Secret"), rule("Service")]);
        assert_eq!(both.maintenance_window, team.maintenance_window);
        own.policy = Some(DriftPolicy::Remediate);
        assert_eq!(own.over(Some(&team)).rules, [rule("Secret")]);
    }
}
