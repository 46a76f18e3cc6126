//! `wait`: until a resource is ready, with what is going on. It gives up early where the operator says that the spec cannot be
//! served as it is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use kidp_core::conditions::{STALLED, is_true};
use tokio::time::{Instant, sleep};

use crate::cli::Global;
use crate::error::{Error, Result, Verdict};
use crate::kinds::{self, Reference};
use crate::output::{self, Paint};
use crate::session::Session;
use crate::status::{self, Report};

/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Waits for a resource.
pub async fn run(global: &Global, wanted: &Reference, limit: Duration) -> Result<Verdict> {
    let session = Session::open(global).await?;
    until_ready(global, &session, wanted, limit).await
}

/// Waits until a resource is ready at its present spec.
pub async fn until_ready(
    global: &Global,
    session: &Session,
    wanted: &Reference,
    limit: Duration,
) -> Result<Verdict> {
    let start = Instant::now();
    let progress = Progress::new();
    let mut unanswered = None;
    loop {
        let subject = match kinds::get(session, wanted).await {
            Ok(subject) => Some(subject),
            // What is refused stays refused; an API server that is away may come back.
            Err(error @ (Error::Timeout { .. } | Error::Kube { .. })) if !is_final(&error) => {
                unanswered = Some(error.to_string());
                None
            }
            Err(error) => return Err(error),
        };
        if let Some(subject) = subject {
            let stalled = subject.is_observed() && is_true(&subject.status.conditions, STALLED);
            let seen = Box::pin(status::chain(session, subject)).await;
            let report = status::report(&seen, jiff::Timestamp::now());
            if report.ready {
                progress.end();
                output::print(&format!("{wanted} is ready\n"))?;
                return Ok(Verdict::Good);
            }
            let said = progress.tell(&report);
            if stalled {
                progress.end();
                output::print(&status::text(&report, global, Paint::stdout(global.color)))?;
                return Ok(Verdict::Bad);
            }
            unanswered = Some(said);
        }
        if start.elapsed() >= limit {
            progress.end();
            let last = unanswered.unwrap_or_default();
            return Err(Error::Waited {
                what: format!("{wanted} did not become ready ({last})"),
                after: limit,
            });
        }
        sleep(PAUSE).await;
    }
}

fn is_final(error: &Error) -> bool {
    matches!(error, Error::Kube { source, .. } if matches!(source.as_ref(), kube::Error::Api(status) if status.code < 500 && status.code != 429))
}

/// What is told meanwhile: a line that changes on a terminal, and a line for every change elsewhere.
struct Progress {
    bar: ProgressBar,
    last: std::cell::RefCell<String>,
}

impl Progress {
    fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self {
            bar,
            last: std::cell::RefCell::default(),
        }
    }

    fn tell(&self, report: &Report) -> String {
        let cause = report.cause.as_ref();
        let said = cause.map_or_else(String::new, |cause| {
            format!("{}: {}: {}", cause.reason, cause.object, cause.message)
        });
        if self.bar.is_hidden() {
            if *self.last.borrow() != said {
                eprintln!("{said}");
            }
        } else {
            self.bar.set_message(said.clone());
        }
        self.last.replace(said.clone());
        said
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
