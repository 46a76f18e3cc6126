//! Starts components again that ended by themselves, as the kubelet or systemd does where Kubernetes is installed for
//! good. Some end on purpose and rely on it: the scheduler does when a pod was made anew under its old name while the API
//! server was away (it finds its cache corrupted, and leaves).

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::components::SUPERVISOR;
use super::{Error, daemon};
use crate::paths::Layout;

/// Between two looks; a component that ends at once is started again no more often.
const PERIOD: Duration = Duration::from_secs(2);

/// Minds the components recorded in this state folder until it is told to end. Whose record is gone is not missed.
pub async fn run(state: PathBuf) -> Result<(), Error> {
    let layout = Layout {
        // Nothing is built here.
        cache: state.join("cache"),
        state,
    };
    let mut told_to_end = signal(SignalKind::terminate()).map_err(Error::io("SIGTERM"))?;
    loop {
        revive(&layout)?;
        tokio::select! {
            () = sleep(PERIOD) => {}
            _ = told_to_end.recv() => return Ok(()),
        }
    }
}

/// Starts again what is recorded and has ended; answers how many.
fn revive(layout: &Layout) -> Result<usize, Error> {
    // What was started here is a child of this process, and stays a zombie until asked for.
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    let mut revived = 0;
    for record in daemon::records(layout) {
        if record.daemon.name == SUPERVISOR || daemon::alive(&record) {
            continue;
        }
        tracing::warn!(component = %record.daemon.name, pid = record.pid, "ended; starting it again");
        daemon::spawn(layout, &record.path, &record.daemon)?;
        revived += 1;
    }
    Ok(revived)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devcluster::crash::kill;
    use crate::devcluster::daemon::tests::sleeper;

    #[tokio::test]
    async fn what_ended_runs_again_unless_it_was_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, daemon) = sleeper(dir.path());
        let first = daemon::spawn(&layout, "/usr/bin:/bin", &daemon).unwrap();
        assert_eq!(revive(&layout).unwrap(), 0);

        kill(first.pid);
        daemon::stop(&first, Duration::from_secs(2)).await;
        assert_eq!(revive(&layout).unwrap(), 1);
        let second = daemon::records(&layout).remove(0);
        assert!(daemon::alive(&second) && second.pid != first.pid);

        daemon::forget(&layout, &second).unwrap();
        daemon::stop(&second, Duration::from_secs(2)).await;
        assert_eq!(revive(&layout).unwrap(), 0);
    }
}
