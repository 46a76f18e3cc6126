//! The broker's accept path, beside the twin in `benches/twin`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kidp_core::crd::Phase;
use kidp_core::wire::{Accepted, DeploymentStatus};
use kidp_e2e::process::{Process, free_port};
use kidp_e2e::proxy::ApiProxy;
use kidp_e2e::wait::{Seen, until};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Bench, LoadError, NAMESPACE};
use crate::figures::{median, memory_kib};
use crate::process::Cmd;
use crate::progress::Progress;
use crate::tools::go_twins;

/// Clients that ask at once.
const CLIENTS: u32 = 16;
/// The load generator.
const GENERATOR: &str = "github.com/codesenberg/bombardier";
const LIMIT: Duration = Duration::from_mins(10);

/// A route under load.
struct Route {
    title: &'static str,
    path: &'static str,
    is_post: bool,
    requests: u64,
}

const ROUTES: [Route; 3] = [
    Route {
        title: "`GET /health`",
        path: "/health",
        is_post: false,
        requests: 50_000,
    },
    Route {
        title: "`GET /v1/resources`, one instance",
        path: "/v1/resources?namespace=kidp-e2e-load",
        is_post: false,
        requests: 500,
    },
    Route {
        title: "`POST /v1/provision`, repeated",
        path: "/v1/provision",
        is_post: true,
        requests: 3_000,
    },
];

/// A server with its address.
struct Server {
    process: Process,
    url: String,
}

/// What the load generator saw of one run.
#[derive(Clone, Copy)]
struct Load {
    per_second: f64,
    p99_ms: f64,
}

#[derive(Deserialize)]
struct Report {
    result: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    time_taken_seconds: f64,
    #[serde(rename = "req2xx")]
    succeeded: f64,
    latency: Latency,
}

#[derive(Deserialize)]
struct Latency {
    /// In microseconds, by percentage.
    percentiles: std::collections::BTreeMap<String, f64>,
}

/// The table of the accept path.
pub async fn measure(bench: &Bench<'_>, progress: &Progress) -> Result<String, LoadError> {
    let tools = progress
        .step("building the twin", go_twins(&[".", GENERATOR]))
        .await?;
    let reads = progress
        .step("one instance, and what is read of it", one_instance(bench))
        .await?;
    let twin = twin(bench, &tools, &reads).await?;
    let broker = broker(bench, &bench.kubeconfig).await?;
    let body = bench.folder.path().join("request.json");
    std::fs::write(&body, request().to_string()).map_err(LoadError::io(&body))?;
    let generator = Generator {
        program: tools.join("bombardier"),
        body,
    };
    let mut table = format!(
        "{CLIENTS} clients, median of {} runs a side, in turns.\n\n\
         | route | broker, requests/s | twin, requests/s | ratio | broker, p99 ms | twin, p99 ms |\n\
         |---|---|---|---|---|---|\n",
        bench.options.rounds
    );
    for route in &ROUTES {
        let step = format!("load on {}", route.title);
        let turns = turns(bench, &generator, route, &broker, &twin);
        table += &progress.step(&step, turns).await?;
    }
    let memory = memory(bench, &generator, &broker);
    table += &progress.step("memory over many requests", memory).await?;
    for server in [broker, twin] {
        server.process.kill().await?;
    }
    Ok(table)
}

fn request() -> Value {
    json!({"resourceType": "Database", "resourceName": "orders", "namespace": NAMESPACE, "team": "payments",
        "owner": {"kind": "Team", "name": "payments"}, "resourceUid": "load", "resourceGeneration": 1,
        "spec": {"engine": "postgresql", "version": "15", "size": "small", "storage": {"size": "1Gi"}}})
}

async fn broker(bench: &Bench<'_>, kubeconfig: &Path) -> Result<Server, LoadError> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let url = format!("http://{listen}");
    let arguments = ["--name", NAMESPACE, "--namespace", NAMESPACE, "--listen", &listen].map(str::to_owned);
    let process = Process::start(
        &bench.programs.join("kidp-broker"),
        kubeconfig,
        &arguments,
        &bench.folder.path().join("broker.log"),
        &format!("{url}/readiness"),
    )
    .await?;
    Ok(Server { process, url })
}

async fn twin(bench: &Bench<'_>, tools: &Path, reads: &[String]) -> Result<Server, LoadError> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let file = bench.folder.path().join("reads.json");
    std::fs::write(&file, json!(reads).to_string()).map_err(LoadError::io(&file))?;
    let arguments = [
        format!("-listen={listen}"),
        format!("-kubeconfig={}", bench.kubeconfig.display()),
        format!("-reads={}", file.display()),
    ];
    let url = format!("http://{listen}");
    let process = Process::start(
        &tools.join("twin"),
        &bench.kubeconfig,
        &arguments,
        &bench.folder.path().join("twin.log"),
        &format!("{url}/health"),
    )
    .await?;
    Ok(Server { process, url })
}

/// Provisions one instance, and gives what the broker reads of it for `/v1/resources`: paths with queries, without the
/// list of records.
async fn one_instance(bench: &Bench<'_>) -> Result<Vec<String>, LoadError> {
    let relay = ApiProxy::start(bench.client.clone(), bench.folder.path(), "broker").await?;
    let server = broker(bench, relay.kubeconfig()).await?;
    let http = reqwest::Client::new();
    let asked = http
        .post(format!("{}/v1/provision", server.url))
        .json(&request())
        .send();
    let accepted: Accepted = asked.await?.error_for_status()?.json().await?;
    let status = format!("{}/v1/status?id={}", server.url, accepted.deployment_id);
    until("the instance to be Ready", Duration::from_mins(3), async || {
        let seen = async { http.get(&status).send().await?.json::<DeploymentStatus>().await };
        Ok(match seen.await {
            Ok(now) if now.phase == Phase::Ready => Seen::Done(()),
            Ok(now) => Seen::NotYet(format!("{:?}", now.phase)),
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })
    .await?;
    relay.record_reads();
    let listed = http.get(format!("{}/v1/resources?namespace={NAMESPACE}", server.url));
    let listed: Value = listed.send().await?.error_for_status()?.json().await?;
    let mut reads = relay.take_reads();
    reads.retain(|path| !path.contains("/serviceinstances"));
    if listed["total"] != 1 || reads.is_empty() {
        return Err(LoadError::answer("/v1/resources", listed));
    }
    server.process.kill().await?;
    Ok(reads)
}

struct Generator {
    program: PathBuf,
    body: PathBuf,
}

impl Generator {
    async fn run(&self, server: &Server, route: &Route, requests: u64) -> Result<Load, LoadError> {
        let mut command =
            Cmd::new(&self.program).args(["--print=result", "--format=json", "--latencies", "--timeout=30s"]);
        command = command.arg(format!("--connections={CLIENTS}"));
        command = command.arg(format!("--requests={requests}"));
        if route.is_post {
            command = command
                .args([
                    "--method=POST",
                    "--header=Content-Type: application/json",
                    "--body-file",
                ])
                .arg(&self.body);
        }
        let said = command
            .arg(format!("{}{}", server.url, route.path))
            .timeout(LIMIT)
            .output()
            .await?;
        let outcome = serde_json::from_str::<Report>(&said)
            .map_err(|error| LoadError::answer("the load generator", format!("{error}: {said}")))?
            .result;
        #[expect(clippy::cast_precision_loss, reason = "some thousand requests")]
        let all = requests as f64;
        if outcome.succeeded < all {
            return Err(LoadError::answer(route.title, said));
        }
        Ok(Load {
            per_second: outcome.succeeded / outcome.time_taken_seconds,
            p99_ms: outcome.latency.percentiles.get("99").copied().unwrap_or_default() / 1000.0,
        })
    }
}

/// One line of the table. The first turn warms up and counts for nothing.
async fn turns(
    bench: &Bench<'_>,
    generator: &Generator,
    route: &Route,
    broker: &Server,
    twin: &Server,
) -> Result<String, LoadError> {
    let mut loads = [Vec::new(), Vec::new()];
    for turn in 0..=bench.options.rounds {
        for (server, loads) in [broker, twin].into_iter().zip(&mut loads) {
            let load = generator.run(server, route, route.requests).await?;
            if turn > 0 {
                loads.push(load);
            }
        }
    }
    let [ours, theirs] = loads;
    let of = |loads: &[Load], field: fn(&Load) -> f64| median(loads.iter().map(field).collect());
    let (rate, peer) = (of(&ours, |l| l.per_second), of(&theirs, |l| l.per_second));
    Ok(format!(
        "| {} | {rate:.0} | {peer:.0} | {:.2} | {:.1} | {:.1} |\n",
        route.title,
        rate / peer,
        of(&ours, |l| l.p99_ms),
        of(&theirs, |l| l.p99_ms),
    ))
}

/// Resident memory of the broker before and after many repeated requests, in MiB.
async fn memory(bench: &Bench<'_>, generator: &Generator, broker: &Server) -> Result<String, LoadError> {
    let [_, _, route] = &ROUTES;
    let all = bench.options.memory_requests;
    generator.run(broker, route, all / 10).await?;
    let before = resident(broker)?;
    generator.run(broker, route, all).await?;
    let after = resident(broker)?;
    Ok(format!(
        "\nResident memory of the broker: {before:.1} MiB after {} repeated `/v1/provision`, {after:.1} MiB after {all} more.\n",
        all / 10
    ))
}

fn resident(server: &Server) -> Result<f64, LoadError> {
    let kib = server.process.id().and_then(|id| memory_kib(id, "VmRSS"));
    kib.map(|kib| kib / 1024.0)
        .ok_or_else(|| LoadError::answer("the kernel", "no memory of the broker"))
}
