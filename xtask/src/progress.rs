//! Shows what is being done and how long it took: a spinner on a terminal, plain lines everywhere else.
use std::future::Future;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The display of one command.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    terminal: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
        }
    }
}

impl Progress {
    /// Runs one step and shows its name, its outcome and its time.
    pub async fn step<T, E, F>(&self, name: &str, work: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let start = Instant::now();
        let display = self.terminal.then(|| spinner(name));
        let outcome = work.await;
        if let Some(bar) = display {
            bar.finish_and_clear();
        }
        let verdict = if outcome.is_ok() { "ok" } else { "FAILED" };
        eprintln!("{}", line(self.began.elapsed(), name, verdict, start.elapsed()));
        outcome
    }

    /// Prints a line of its own between steps.
    pub fn note(&self, text: &str) {
        eprintln!("[{:>6.1}s] {text}", self.began.elapsed().as_secs_f64());
    }
}

fn spinner(name: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn line(total: Duration, name: &str, outcome: &str, took: Duration) -> String {
    format!(
        "[{:>6.1}s] {name} ... {outcome} ({:.1}s)",
        total.as_secs_f64(),
        took.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_total_name_outcome_and_time() {
        let text = line(
            Duration::from_millis(12_340),
            "node ready",
            "ok",
            Duration::from_millis(2_100),
        );
        assert_eq!(text, "[  12.3s] node ready ... ok (2.1s)");
    }
}
