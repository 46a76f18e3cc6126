//! `estimate` and `costs`: what services cost, as the operator says it, or for estimates as a price book in a file does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kidp_core::cost::{Estimate, Location, Shape, estimate as price};
use kidp_core::crd::PriceBookSpec;
use kidp_core::problem::{FieldError, Problem};
use kube::Api;
use kube::api::PostParams;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::{CostsArgs, EstimateArgs, Global, OperatorArgs};
use crate::documents;
use crate::error::{Error, Result, Verdict};
use crate::forward::{self, Destination, Forward};
use crate::kinds::Subject;
use crate::output::{self, Format, table};
use crate::session::Session;

/// Audience of the tokens that the operator takes.
const AUDIENCE: &str = "kidp-costs";
/// How long a token is good for that is made for one question: the least that an API server gives.
const TOKEN_SECONDS: i64 = 600;
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Longest token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// What a service costs a month.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Priced {
    object: String,
    currency: String,
    monthly: String,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    component: String,
    rate: String,
    price: String,
    unit: String,
    monthly: String,
}

/// Estimates every service of files.
pub async fn estimate(global: &Global, args: &EstimateArgs) -> Result<Verdict> {
    let wanted = documents::services(&args.filename)?;
    let location = Location {
        cloud_provider: args.cloud_provider.clone().unwrap_or_default(),
        region: args.region.clone().unwrap_or_default(),
    };
    let mut told = Vec::new();
    if let Some(file) = &args.price_book {
        let book = book(file)?;
        for (document, subject) in &wanted {
            told.push(offline(&book, &location, &document.key(), subject)?);
        }
    } else {
        let operator = Operator::reach(global, &args.operator).await?;
        for (document, subject) in &wanted {
            let body = json!({"resourceType": subject.kind, "spec": subject.instance, "location": location});
            let answer = operator.post("/v1/costs/estimate", &body).await?;
            told.push(answered(&document.key(), &answer));
        }
    }
    output::answer(global.output.unwrap_or(Format::Table), &told, |told| rows(told))?;
    Ok(Verdict::Good)
}

fn book(file: &Path) -> Result<PriceBookSpec> {
    let documents = documents::read(std::slice::from_ref(&file.to_path_buf()))?;
    let found = documents
        .into_iter()
        .find(|document| document.kind() == "PriceBook");
    let document = found.ok_or_else(|| Error::Usage(format!("{}: there is no PriceBook", file.display())))?;
    let read = serde_path_to_error::deserialize(&document.value["spec"]);
    read.map_err(|error: serde_path_to_error::Error<serde_json::Error>| {
        let field = format!("{}: spec.{}", document.place(), error.path());
        Error::Invalid(vec![FieldError::new(field, error.inner().to_string())])
    })
}

fn offline(book: &PriceBookSpec, location: &Location, object: &str, subject: &Subject) -> Result<Priced> {
    let invalid = |field: &str, message: String| {
        Error::Invalid(vec![FieldError::new(format!("{object}: {field}"), message)])
    };
    let shape = Shape::of(subject.kind, &subject.instance)
        .map_err(|e| invalid("spec.storage.size", e.to_string()))?;
    let told: Estimate =
        price(book, &shape, location, jiff::Timestamp::now()).map_err(|e| invalid("spec", e.to_string()))?;
    let lines = told.lines.iter().map(|line| Line {
        component: line.component.as_str().to_owned(),
        rate: line.rate.clone(),
        price: line.price.to_string(),
        unit: line.component.unit().to_owned(),
        monthly: line.amount.to_decimal(2),
    });
    Ok(Priced {
        object: object.to_owned(),
        currency: told.currency.clone(),
        monthly: told.monthly.to_decimal(2),
        lines: lines.collect(),
    })
}

/// The operator's answer, which has the same words.
fn answered(object: &str, answer: &Value) -> Priced {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let after = &answer["after"];
    let lines = after["lines"].as_array().into_iter().flatten().map(|line| Line {
        component: text(&line["component"]),
        rate: text(&line["rate"]),
        price: text(&line["price"]),
        unit: text(&line["unit"]),
        monthly: text(&line["monthly"]),
    });
    Priced {
        object: object.to_owned(),
        currency: text(&answer["currency"]),
        monthly: text(&after["monthly"]),
        lines: lines.collect(),
    }
}

fn rows(told: &[Priced]) -> String {
    let mut rows = vec![
        ["OBJECT", "COMPONENT", "RATE", "PRICE", "UNIT", "A MONTH"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for priced in told {
        for line in &priced.lines {
            let cells = [
                &priced.object,
                &line.component,
                &line.rate,
                &line.price,
                &line.unit,
                &line.monthly,
            ];
            rows.push(cells.map(|cell| output::line(cell)).to_vec());
        }
        let sum = format!("{} {}", priced.monthly, output::line(&priced.currency));
        rows.push(vec![
            priced.object.clone(),
            "all".to_owned(),
            String::new(),
            String::new(),
            String::new(),
            sum,
        ]);
    }
    table(&rows)
}

/// Reports what was used.
pub async fn report(global: &Global, args: &CostsArgs) -> Result<Verdict> {
    let operator = Operator::reach(global, &args.operator).await?;
    let mut query = vec![("groupBy", args.group_by.as_str())];
    query.extend(args.from.as_deref().map(|from| ("from", from)));
    query.extend(args.to.as_deref().map(|to| ("to", to)));
    if let Some(format) = args.csv.as_deref() {
        query.push(("format", format));
        let answer = operator.get("/v1/costs", &query).await?;
        output::print(&answer)?;
        return Ok(Verdict::Good);
    }
    let answer = operator.get("/v1/costs", &query).await?;
    let report: Value =
        serde_json::from_str(&answer).map_err(|e| Error::Sdk(format!("the operator's answer: {e}")))?;
    output::answer(global.output.unwrap_or(Format::Table), &report, sums)?;
    Ok(Verdict::Good)
}

fn sums(report: &Value) -> String {
    let text = |value: &Value| output::line(value.as_str().unwrap_or_default());
    let mut rows = vec![["GROUP", "COST", "COMPLETE"].map(str::to_owned).to_vec()];
    let complete = |value: &Value| if *value == true { "yes" } else { "no" }.to_owned();
    for group in report["groups"].as_array().into_iter().flatten() {
        rows.push(vec![
            text(&group["key"]),
            text(&group["cost"]),
            complete(&group["complete"]),
        ]);
    }
    let total = format!("{} {}", text(&report["total"]), text(&report["currency"]));
    rows.push(vec!["all".to_owned(), total, complete(&report["complete"])]);
    table(&rows)
}

/// The operator's door for costs.
struct Operator {
    http: reqwest::Client,
    url: String,
    token: String,
    /// Open while it is asked.
    _forward: Option<Forward>,
}

impl Operator {
    async fn reach(global: &Global, args: &OperatorArgs) -> Result<Self> {
        let session = Session::open(global).await?;
        let token = token(&session, args).await?;
        let (url, forward) = if let Some(url) = &args.operator_url {
            (url.trim_end_matches('/').to_owned(), None)
        } else {
            let to = Destination {
                namespace: args.operator_namespace.clone(),
                service: "kidp-operator".to_owned(),
                port: 9091,
            };
            let forward = forward::open(&session, &session.client, &to, None).await?;
            (format!("http://127.0.0.1:{}", forward.port), Some(forward))
        };
        let http = reqwest::Client::builder()
            .timeout(session.limit.max(Duration::from_secs(1)))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::Sdk(error.to_string()))?;
        Ok(Self {
            http,
            url,
            token,
            _forward: forward,
        })
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let text = self
            .send(self.http.post(format!("{}{path}", self.url)).json(body))
            .await?;
        serde_json::from_str(&text).map_err(|error| Error::Sdk(format!("the operator's answer: {error}")))
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<String> {
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.url), query);
        let url = url.map_err(|error| Error::Usage(format!("--operator-url: {error}")))?;
        self.send(self.http.get(url)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<String> {
        let failed = |error: reqwest::Error| {
            Error::Missing(format!("the operator cannot be asked: {}", error.without_url()))
        };
        let mut answer = request.bearer_auth(&self.token).send().await.map_err(failed)?;
        let is_good = answer.status().is_success();
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(failed)? {
            if body.len() + part.len() > MAX_ANSWER {
                return Err(Error::Sdk(format!(
                    "the operator's answer is longer than {MAX_ANSWER} bytes"
                )));
            }
            body.extend_from_slice(&part);
        }
        if is_good {
            return Ok(String::from_utf8_lossy(&body).into_owned());
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if !problem.details.is_empty() => Err(Error::Invalid(problem.details)),
            Ok(problem) => Err(Error::Missing(format!(
                "the operator refuses: {}",
                problem.message
            ))),
            Err(_) => Err(Error::Missing(format!("the operator answers {status}"))),
        }
    }
}

/// A token for the operator: from a file, or of a service account.
async fn token(session: &Session, args: &OperatorArgs) -> Result<String> {
    if let Some(path) = &args.token_file {
        return read_token(path);
    }
    let Some((namespace, name)) = args
        .service_account
        .as_deref()
        .and_then(|account| account.split_once('/'))
    else {
        let message =
            "give --token-file, or --service-account NAMESPACE/NAME of an account that may read costs";
        return Err(Error::Usage(message.to_owned()));
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(session.client.clone(), namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()].into(),
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let params = PostParams::default();
    let made = accounts.create_token_request(name, &params, &request);
    let made = session
        .ask(
            &format!("asking for a token of ServiceAccount {namespace}/{name}"),
            made,
        )
        .await?;
    let token = made.status.and_then(|status| status.token);
    token.ok_or_else(|| Error::Missing("the API server gave no token".to_owned()))
}

fn read_token(path: &PathBuf) -> Result<String> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        path: path.clone(),
        source,
    })?;
    let token = text.trim();
    if token.is_empty() || token.len() > MAX_TOKEN {
        return Err(Error::Usage(format!("{}: is no token", path.display())));
    }
    Ok(token.to_owned())
}
