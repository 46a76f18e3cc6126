//! What `cargo xtask rendering` measures of the SDK's rendering, each in a process of its own:
//!
//! ```text
//! render yaml <instances>   prints the objects, as `helm template` does
//! render time <instances>   prints nanoseconds for one instance: built, and built and written as YAML
//! render hold <instances>   keeps every rendered object, and says how many there are
//! ```

use std::hint::black_box;
use std::time::Instant;

use kidp_provisioners::engines::postgresql::Postgresql;
use kidp_provisioners::manifests::BuildError;
use kidp_provisioners::{Instance, Manifests, Prepared, Provisioner};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, count] = arguments.as_slice() else {
        return Err("usage: render yaml|time|hold <instances>".into());
    };
    let instances = instances(count.parse()?)?;
    match what.as_str() {
        "yaml" => {
            for instance in &instances {
                print!("{}", rendered(instance)?.to_yaml()?);
            }
        }
        "time" => time(&instances)?,
        "hold" => {
            let held = instances.iter().map(rendered).collect::<Result<Vec<_>, _>>()?;
            let objects: usize = black_box(&held).iter().map(|one| one.objects().len()).sum();
            println!("{objects}");
        }
        other => return Err(format!("{other}: not one of yaml, time and hold").into()),
    }
    Ok(())
}

/// Instances of different names, as a broker has them.
fn instances(count: usize) -> Result<Vec<Instance>, serde_json::Error> {
    let one = kidp_benches::instance()?;
    let named = |n| Instance {
        name: format!("orders-{n}"),
        ..one.clone()
    };
    Ok((0..count).map(named).collect())
}

fn rendered(instance: &Instance) -> Result<Manifests<Prepared>, BuildError> {
    let postgresql = Postgresql::default();
    let credentials = postgresql.credentials(instance, kidp_benches::PASSWORD.to_owned());
    postgresql.build(instance, &credentials)
}

fn time(instances: &[Instance]) -> Result<(), BuildError> {
    let each = |began: Instant| began.elapsed().as_nanos() / instances.len().max(1) as u128;
    let began = Instant::now();
    for instance in instances {
        black_box(rendered(black_box(instance))?);
    }
    let built = each(began);
    let began = Instant::now();
    for instance in instances {
        black_box(rendered(black_box(instance))?.to_yaml()?);
    }
    println!("{built} {}", each(began));
    Ok(())
}
