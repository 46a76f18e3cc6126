//! What the runs come to. Pure.

use std::fmt::Write as _;

use super::contender::Contender;
use super::recording::Recording;
use super::{Options, Sample};
use crate::figures::{Goal, median};

/// Instances a second.
pub fn rate(sample: &Sample) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "some thousand")]
    let size = sample.size as f64;
    size / sample.seconds
}

/// The tables of throughput and memory.
pub fn throughput(options: &Options, recording: &Recording, samples: &[Sample]) -> String {
    let (rounds, workers, nodes) = (options.rounds, options.workers, options.nodes);
    let (rates, memory) = (rates(&options.sizes, samples), held(&options.sizes, samples));
    format!(
        "Written by `cargo xtask scale --write`; each figure is the median of {rounds} runs, taken in turns on one machine \
         and one API server, each in an empty namespace. Every contender works on {workers} instances at once. Nodes are \
         {nodes} of kwok's.\n\n\
         ## From many databases to their objects\n\nFrom the first `Database` that is made, 32 at a time, to the last \
         StatefulSet. The writer sends what KIDP sends and does nothing else; the twin is a Go controller on \
         controller-runtime that does the work of operator and broker in one process.\n\n{rates}\n\
         The requests of one instance, of which the writer sends all:\n\n```text\n{}```\n\n\
         ## Memory\n\nResident, operator and broker together, before there was a `Database` and with all objects there.\n\n{memory}",
        recording.lines()
    )
}

/// What the runs are to come to: the worst of the sizes counts, for memory the largest.
pub fn goals(sizes: &[usize], samples: &[Sample]) -> Vec<Goal> {
    let ratio = |to: Contender, size| {
        median_of(samples, Contender::Kidp, size, rate) / median_of(samples, to, size, rate)
    };
    let worst = |to| {
        sizes
            .iter()
            .map(|&size| ratio(to, size))
            .fold(f64::INFINITY, f64::min)
    };
    let (least, most) = (
        sizes.iter().min().copied().unwrap_or_default(),
        sizes.iter().max().copied().unwrap_or_default(),
    );
    let held = |of| median_of(samples, of, most, |s| s.held_mib);
    let each = |size| 1.0 / median_of(samples, Contender::Kidp, size, rate);
    vec![
        Goal::at_least(
            "databases to objects, to the same writes alone",
            0.8,
            worst(Contender::Writer),
            "",
        ),
        Goal::at_least(
            "databases to objects, to the Go controller",
            1.0,
            worst(Contender::Twin),
            "",
        ),
        Goal::at_most(
            format!("memory with {most} databases, to the Go controller"),
            0.2,
            held(Contender::Kidp) / held(Contender::Twin),
            "",
        ),
        Goal::at_most(
            format!("cost of a database with {most}, to that with {least}"),
            1.25,
            each(most) / each(least),
            "",
        ),
    ]
}

fn median_of(samples: &[Sample], contender: Contender, size: usize, value: impl Fn(&Sample) -> f64) -> f64 {
    let of = samples
        .iter()
        .filter(|s| s.contender == contender && s.size == size);
    median(of.map(value).collect())
}

fn rates(sizes: &[usize], samples: &[Sample]) -> String {
    let mut table = String::from(
        "| databases | writer, a second | KIDP | twin | KIDP to writer | KIDP to twin |\n|---|---|---|---|---|---|\n",
    );
    for &size in sizes {
        let of = |contender| median_of(samples, contender, size, rate);
        let (writer, kidp, twin) = (of(Contender::Writer), of(Contender::Kidp), of(Contender::Twin));
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| {size} | {writer:.1} | {kidp:.1} | {twin:.1} | {:.2} | {:.2} |",
            kidp / writer,
            kidp / twin
        );
    }
    table
}

fn held(sizes: &[usize], samples: &[Sample]) -> String {
    let mut table = String::from("| databases | KIDP, MiB | twin, MiB | KIDP to twin |\n|---|---|---|---|\n");
    let mut line = |size: &str, kidp: f64, twin: f64| {
        let _ = writeln!(table, "| {size} | {kidp:.1} | {twin:.1} | {:.2} |", kidp / twin);
    };
    let idle = |contender: Contender| {
        let of = samples.iter().filter(|s| s.contender == contender);
        median(of.map(|s| s.idle_mib).collect())
    };
    line("0", idle(Contender::Kidp), idle(Contender::Twin));
    for &size in sizes {
        let of = |contender| median_of(samples, contender, size, |s| s.held_mib);
        line(&size.to_string(), of(Contender::Kidp), of(Contender::Twin));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(contender: Contender, seconds: f64, mib: f64) -> Sample {
        Sample {
            contender,
            size: 100,
            seconds,
            idle_mib: mib / 2.0,
            held_mib: mib,
        }
    }

    #[test]
    fn the_tables_have_medians_and_ratios() {
        let samples = [
            sample(Contender::Writer, 1.0, 0.0),
            sample(Contender::Kidp, 1.25, 20.0),
            sample(Contender::Kidp, 9.0, 20.0),
            sample(Contender::Kidp, 1.0, 30.0),
            sample(Contender::Twin, 2.0, 100.0),
        ];
        let rates = rates(&[100], &samples);
        assert!(
            rates.ends_with("| 100 | 100.0 | 80.0 | 50.0 | 0.80 | 1.60 |\n"),
            "{rates}"
        );
        let goals = crate::figures::goals(&goals(&[100], &samples));
        let met: Vec<_> = goals
            .lines()
            .skip(2)
            .map(|line| line.ends_with("| yes |"))
            .collect();
        assert_eq!(met, [true; 4], "{goals}");
        let held = held(&[100], &samples);
        assert!(
            held.ends_with("| 0 | 10.0 | 50.0 | 0.20 |\n| 100 | 20.0 | 100.0 | 0.20 |\n"),
            "{held}"
        );
    }
}
