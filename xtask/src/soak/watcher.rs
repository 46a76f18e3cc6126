//! Memory and open files of operator and broker over time, and whether they stay as they are.

use std::fmt::Write as _;
use std::time::Duration;

use crate::figures::{median, memory_kib};

/// Who is watched, as [`kidp_e2e::host::Platform::ids`] has them.
const WHO: [&str; 2] = ["operator", "broker"];
/// How many times what was there in the sixth before may be in the last: an allocator gives back late.
const GROWTH: f64 = 1.1;
/// Of so little, the share says nothing.
const ALLOWANCE: Sample = Sample { mib: 8.0, files: 8.0 };

/// One process at one time.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    mib: f64,
    files: f64,
}

/// All samples, with the time since the start.
#[derive(Debug, Default)]
pub struct Watcher(Vec<(Duration, [Sample; 2])>);

impl Watcher {
    /// Takes a sample of both.
    pub fn look(&mut self, since: Duration, ids: [Option<u32>; 2]) {
        self.0
            .push((since, ids.map(|id| id.map(sample).unwrap_or_default())));
    }

    /// Whether the last sixth is like the one before it: nobody was killed in either.
    pub fn steady(&self) -> Result<(), String> {
        let sixth = self.0.len() / 6;
        if sixth == 0 {
            return Ok(());
        }
        let (before, last) = self.0[self.0.len() - 2 * sixth..].split_at(sixth);
        for (index, name) in WHO.iter().enumerate() {
            for (what, value, allowance) in [
                ("memory (MiB)", (|s| s.mib) as fn(&Sample) -> f64, ALLOWANCE.mib),
                ("open files", |s| s.files, ALLOWANCE.files),
            ] {
                let of = |part: &[(Duration, [Sample; 2])]| {
                    median(part.iter().map(|(_, samples)| value(&samples[index])).collect())
                };
                let (before, last) = (of(before), of(last));
                if last > before * GROWTH + allowance {
                    return Err(format!("{name}: {what} grew from {before:.1} to {last:.1}"));
                }
            }
        }
        Ok(())
    }

    /// The last sample, in words.
    pub fn last(&self) -> String {
        let Some((_, samples)) = self.0.last() else {
            return String::new();
        };
        let told = WHO.iter().zip(samples);
        let told: Vec<_> = told
            .map(|(name, s)| format!("{name} {:.1} MiB, {:.0} files", s.mib, s.files))
            .collect();
        told.join("; ")
    }

    /// Some ten lines of the samples.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| minute | operator, MiB | its open files | broker, MiB | its open files |\n|---|---|---|---|---|\n",
        );
        for (since, [operator, broker]) in self.0.iter().step_by(self.0.len().div_ceil(10).max(1)) {
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "| {:.0} | {:.1} | {:.0} | {:.1} | {:.0} |",
                since.as_secs_f64() / 60.0,
                operator.mib,
                operator.files,
                broker.mib,
                broker.files
            );
        }
        table
    }
}

fn sample(id: u32) -> Sample {
    let files = std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
    #[expect(clippy::cast_precision_loss, reason = "some hundred")]
    Sample {
        mib: memory_kib(id, "VmRSS").unwrap_or_default() / 1024.0,
        files: files as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watcher(mib: impl Fn(u64) -> f64) -> Watcher {
        let samples = (0..60).map(|minute| {
            let sample = Sample {
                mib: mib(minute),
                files: 20.0,
            };
            (Duration::from_mins(minute), [sample, Sample::default()])
        });
        Watcher(samples.collect())
    }

    #[test]
    fn what_grows_is_not_steady_and_a_start_counts_for_nothing() {
        assert_eq!(watcher(|_| 30.0).steady(), Ok(()));
        #[expect(clippy::cast_precision_loss, reason = "some sixty")]
        let leak = watcher(|minute| minute as f64 * 10.0);
        assert_eq!(
            watcher(|minute| if minute < 30 { 5.0 } else { 60.0 }).steady(),
            Ok(())
        );
        let grew = watcher(|minute| if minute < 52 { 60.0 } else { 120.0 });
        let told = grew.steady().unwrap_err();
        assert_eq!(told, "operator: memory (MiB) grew from 60.0 to 120.0");
        assert!(leak.steady().is_err());
    }

    #[test]
    fn this_process_has_files_and_memory() {
        let sample = sample(std::process::id());
        assert!(sample.files > 2.0 && sample.mib > 1.0, "{sample:?}");
        let mut watcher = Watcher::default();
        watcher.look(Duration::ZERO, [Some(std::process::id()), None]);
        assert!(watcher.table().lines().count() == 3 && watcher.steady().is_ok());
    }
}
