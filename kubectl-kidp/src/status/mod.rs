//! `status`: what a resource is made of, from what was asked for down to the pods, and why it is not ready.
//!
//! ```text
//! read (I/O) ─> Seen ─> cause::find, report (pure) ─> tree, table, JSON, YAML
//! ```

pub mod cause;
mod read;
mod render;
mod report;
mod seen;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use read::chain;
pub use report::{Node, Report, Warning, report};
pub use seen::Seen;

use crate::cli::Global;
use crate::error::{Result, Verdict};
use crate::kinds::{self, Reference};
use crate::output::{self, Format, Paint};
use crate::session::Session;

/// Tells the chain of a resource.
pub async fn run(global: &Global, wanted: &Reference) -> Result<Verdict> {
    let session = Session::open(global).await?;
    let subject = kinds::get(&session, wanted).await?;
    let seen = Box::pin(read::chain(&session, subject)).await;
    let report = report(&seen, jiff::Timestamp::now());
    let paint = Paint::stdout(global.color);
    output::answer(global.output.unwrap_or(Format::Tree), &report, |report| {
        text(report, global, paint)
    })?;
    Ok(if report.ready { Verdict::Good } else { Verdict::Bad })
}

/// The answer for people, in the format that was asked for.
pub fn text(report: &Report, global: &Global, paint: Paint) -> String {
    render::text(report, global.output.unwrap_or(Format::Tree), paint)
}
