//! What `cargo xtask diffbench` measures of the comparison; the Go twin in `benches/twin/diff` takes the same arguments
//! and reads the same files.
//!
//! ```text
//! compare write <folder>               writes the objects: desired, live and changed .json
//! compare unchanged <folder> <rounds>  prints nanoseconds for an instance's objects, and how many differ
//! compare changed <folder> <rounds>    the same for its StatefulSet, changed in two fields, with who did it
//! compare one <folder> <rounds>        the same for its StatefulSet, unchanged
//! compare sweep <folder> <instances>   decodes and compares the objects of many instances; every hundredth is changed
//! ```

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use kidp_drift::diff;
use serde_json::Value;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["write", folder] => write(Path::new(folder)),
        ["unchanged", folder, rounds] => time(Path::new(folder), "live", false, rounds.parse()?),
        ["changed", folder, rounds] => time(Path::new(folder), "changed", true, rounds.parse()?),
        ["one", folder, rounds] => time(Path::new(folder), "live", true, rounds.parse()?),
        ["sweep", folder, instances] => sweep(Path::new(folder), instances.parse()?),
        _ => Err("usage: compare write|unchanged|changed|one|sweep <folder> [count]".into()),
    }
}

fn write(folder: &Path) -> Result<(), Failure> {
    let pair = kidp_benches::live::pair(&kidp_benches::instance()?)?;
    for (name, objects) in [
        ("desired", pair.desired),
        ("live", pair.live),
        ("changed", pair.changed),
    ] {
        std::fs::write(
            folder.join(format!("{name}.json")),
            serde_json::to_string(&objects)?,
        )?;
    }
    Ok(())
}

fn text(folder: &Path, name: &str) -> Result<String, std::io::Error> {
    std::fs::read_to_string(folder.join(format!("{name}.json")))
}

fn objects(text: &str) -> Result<Vec<Value>, serde_json::Error> {
    serde_json::from_str(text)
}

fn time(folder: &Path, name: &str, only_set: bool, rounds: u32) -> Result<(), Failure> {
    let (mut desired, mut live) = (
        objects(&text(folder, "desired")?)?,
        objects(&text(folder, name)?)?,
    );
    if only_set {
        for list in [&mut desired, &mut live] {
            list.retain(|object| object["kind"] == "StatefulSet");
        }
    }
    let mut found = 0;
    let began = Instant::now();
    for _ in 0..rounds {
        for (desired, live) in desired.iter().zip(&live) {
            found += black_box(diff(black_box(desired), black_box(live))).len();
        }
    }
    let each = began.elapsed().as_nanos() / u128::from(rounds.max(1));
    println!("{each} {}", found / usize::try_from(rounds.max(1))?);
    Ok(())
}

fn sweep(folder: &Path, instances: usize) -> Result<(), Failure> {
    let [desired, live, changed] = ["desired", "live", "changed"].map(|name| text(folder, name));
    let (desired, live, changed) = (desired?, live?, changed?);
    let mut found = 0;
    for at in 0..instances {
        let desired = objects(black_box(&desired))?;
        let live = objects(black_box(if at % 100 == 0 { &changed } else { &live }))?;
        found += desired
            .iter()
            .zip(&live)
            .map(|(desired, live)| diff(desired, live).len())
            .sum::<usize>();
    }
    println!("{found}");
    Ok(())
}
