//! KIDP and the twin, started anew over what each has made: how soon they rest, and what they ask and write until then.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use kidp_e2e::proxy::ApiProxy;

use super::contender::{self, Contender, Running};
use super::recording::Recording;
use super::{Bench, LIMIT, PREFIX, SETTLE, ScaleError, fresh, make, memory, remove, watching};
use crate::progress::Progress;

/// Who asks nothing for so long rests.
const QUIET: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(100);

/// What it took until it rested.
struct Restarted {
    seconds: f64,
    requests: usize,
    writes: usize,
    mib: f64,
}

/// The table.
pub async fn measure(
    bench: &Bench<'_>,
    recording: &Recording,
    progress: &Progress,
) -> Result<String, ScaleError> {
    let size = bench.options.restart;
    let mut table = format!(
        "\n## A restart over {size} ready databases\n\nFrom the start of the processes to their last request, before {} s \
         without any; behind a relay that counts.\n\n\
         | | s | requests | writes among them | memory then, MiB |\n|---|---|---|---|---|\n",
        QUIET.as_secs()
    );
    for contender in [Contender::Kidp, Contender::Twin] {
        let namespace = format!("{PREFIX}-{contender}").to_lowercase();
        fresh(&bench.client, &namespace).await?;
        let step = format!("{contender} started anew over {size}");
        let taken = async {
            if contender == Contender::Kidp {
                Box::pin(kidp(bench, &namespace)).await
            } else {
                Box::pin(twin(bench, &namespace, recording)).await
            }
        };
        let taken = progress.step(&step, taken).await?;
        remove(&bench.client, &namespace).await?;
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| {contender} | {:.1} | {} | {} | {:.1} |",
            taken.seconds, taken.requests, taken.writes, taken.mib
        );
    }
    Ok(table)
}

/// Makes the databases, and waits until all are Ready.
async fn filled(bench: &Bench<'_>, namespace: &str) -> Result<(), ScaleError> {
    let size = bench.options.restart;
    tokio::try_join!(
        make(&bench.client, namespace, size),
        watching::ready(&bench.client, namespace, size)
    )?;
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

async fn kidp(bench: &Bench<'_>, namespace: &str) -> Result<Restarted, ScaleError> {
    let options = contender::options(bench.options.workers);
    let mut platform = contender::kidp(bench, namespace, options).await?;
    filled(bench, namespace).await?;
    platform.end().await?;
    let relays = [&platform.operator_api, &platform.broker_api];
    let before: Vec<_> = relays.iter().map(|relay| relay.passed()).collect();
    for relay in relays {
        relay.reset();
    }
    let began = Instant::now();
    platform.start_broker().await?;
    platform.start_operator().await?;
    let relays = [&platform.operator_api, &platform.broker_api];
    let last = quiet(&relays, began).await?;
    let passed: usize = relays.iter().map(|relay| relay.passed()).sum();
    let writes = relays.iter().map(|relay| relay.writes().len()).sum();
    let running = Running::Kidp(Box::new(platform));
    let mib = memory(&running);
    running.stop().await?;
    Ok(Restarted {
        seconds: last.saturating_duration_since(began).as_secs_f64(),
        requests: passed - before.iter().sum::<usize>(),
        writes,
        mib,
    })
}

async fn twin(bench: &Bench<'_>, namespace: &str, recording: &Recording) -> Result<Restarted, ScaleError> {
    let start = async |kubeconfig| {
        Box::pin(Running::start(
            bench,
            Contender::Twin,
            namespace,
            recording,
            kubeconfig,
        ))
        .await
    };
    let first = start(&bench.kubeconfig).await?;
    filled(bench, namespace).await?;
    first.stop().await?;
    let relay = ApiProxy::start(bench.client.clone(), bench.folder.path(), "restarted").await?;
    let began = Instant::now();
    let again = start(relay.kubeconfig()).await?;
    let last = quiet(&[&relay], began).await?;
    let mib = memory(&again);
    again.stop().await?;
    Ok(Restarted {
        seconds: last.saturating_duration_since(began).as_secs_f64(),
        requests: relay.passed(),
        writes: relay.writes().len(),
        mib,
    })
}

/// When the last request came, once there has been none for a while.
async fn quiet(relays: &[&ApiProxy], began: Instant) -> Result<Instant, ScaleError> {
    let mut last = (0, Instant::now());
    loop {
        let count = relays.iter().map(|relay| relay.passed()).sum();
        if count != last.0 {
            last = (count, Instant::now());
        } else if last.1.elapsed() > QUIET {
            return Ok(last.1);
        }
        if began.elapsed() > LIMIT {
            return Err(ScaleError::Unexpected(format!("no rest after {count} requests")));
        }
        tokio::time::sleep(LOOK).await;
    }
}
