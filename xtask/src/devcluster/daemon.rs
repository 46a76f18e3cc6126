//! Long-running components: started in a session of their own, so that they outlive this program, and stopped
//! only when the process is provably the one that was started (pid *and* start time), never by name.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::paths::Layout;
use crate::process::append;

/// A component to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Its name: of the log file and of the pid file.
    pub name: String,
    /// The binary.
    #[serde(default)]
    pub program: PathBuf,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
}

/// What is remembered of a started process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidRecord {
    /// What was started. A cluster of an earlier version recorded its name only, and can be taken down still.
    #[serde(flatten)]
    pub daemon: Daemon,
    /// Where it finds other programs.
    #[serde(default)]
    pub path: String,
    /// Its process.
    pub pid: i32,
    /// When the kernel started it, in clock ticks since boot: tells a reused pid from ours.
    pub start_ticks: u64,
    /// The boot it was started in: after a reboot, pids and ticks may both repeat.
    pub boot_id: String,
}

/// Starts a component and records it.
pub fn spawn(layout: &Layout, path: &str, daemon: &Daemon) -> Result<PidRecord, Error> {
    let log = layout.logs().join(format!("{}.log", daemon.name));
    let out = append(&log).map_err(Error::io(&log))?;
    let err = out.try_clone().map_err(Error::io(&log))?;
    // `setsid` execs in place here (it is no group leader), so that the pid is the component's own.
    let child = Command::new("setsid")
        .arg(&daemon.program)
        .args(&daemon.args)
        .current_dir(&layout.state)
        .env_clear()
        .env("PATH", path)
        .env("HOME", &layout.state)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(Error::io(&daemon.program))?;
    let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
    let stat = read_stat(pid).ok_or_else(|| Error::Died {
        name: daemon.name.clone(),
        log: log.clone(),
    })?;
    let record = PidRecord {
        daemon: daemon.clone(),
        path: path.to_owned(),
        pid,
        start_ticks: stat.start_ticks,
        boot_id: boot_id(),
    };
    let file = file(layout, &daemon.name);
    let json = serde_json::to_vec(&record).map_err(|e| Error::Record {
        path: file.clone(),
        reason: e.to_string(),
    })?;
    std::fs::write(&file, json).map_err(Error::io(&file))?;
    Ok(record)
}

/// Forgets a component: it is not missed when it ends.
pub fn forget(layout: &Layout, record: &PidRecord) -> Result<(), Error> {
    let file = file(layout, &record.daemon.name);
    std::fs::remove_file(&file).map_err(Error::io(&file))
}

fn file(layout: &Layout, name: &str) -> PathBuf {
    layout.pids().join(format!("{name}.json"))
}

/// Every recorded component, in the order of their names. A file that cannot be read is skipped: it names no
/// process that could be stopped safely.
pub fn records(layout: &Layout) -> Vec<PidRecord> {
    let Ok(entries) = std::fs::read_dir(layout.pids()) else {
        return Vec::new();
    };
    let mut found: Vec<PidRecord> = entries
        .flatten()
        .filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok())
        .collect();
    found.sort_by(|a, b| a.daemon.name.cmp(&b.daemon.name));
    found
}

/// Whether the recorded process still runs, and is not another one with the same number.
pub fn alive(record: &PidRecord) -> bool {
    record.boot_id == boot_id()
        && read_stat(record.pid)
            .is_some_and(|stat| stat.start_ticks == record.start_ticks && stat.state != 'Z')
}

/// Asks the process to end, and kills it after `grace`.
pub async fn stop(record: &PidRecord, grace: Duration) {
    for (signal, wait) in [(Signal::TERM, grace), (Signal::KILL, Duration::from_secs(5))] {
        if !alive(record) {
            return;
        }
        signal_pid(record.pid, signal);
        let deadline = Instant::now() + wait;
        while alive(record) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Sends a signal; a process that is already gone is no error.
pub fn signal_pid(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `Z`, ...
    pub state: char,
    /// The parent.
    pub parent: i32,
    /// Field 22.
    pub start_ticks: u64,
}

/// Reads one process's `stat`.
pub fn read_stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The command name is in parentheses and may hold anything, so the fields are counted from the last `)`.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

fn boot_id() -> String {
    let text = std::fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).unwrap_or_default();
    text.trim().to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A component that does nothing, and a state folder for it.
    pub(in crate::devcluster) fn sleeper(folder: &Path) -> (Layout, Daemon) {
        let layout = Layout {
            state: folder.into(),
            cache: folder.into(),
        };
        std::fs::create_dir_all(layout.logs()).unwrap();
        std::fs::create_dir_all(layout.pids()).unwrap();
        let daemon = Daemon {
            name: "sleeper".into(),
            program: "sleep".into(),
            args: vec!["60".into()],
        };
        (layout, daemon)
    }

    const STAT: &str = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 2 3";

    #[test]
    fn stat_is_read_past_a_command_with_a_parenthesis() {
        assert_eq!(
            parse_stat(STAT),
            Some(Stat {
                state: 'S',
                parent: 1,
                start_ticks: 4242
            })
        );
        assert_eq!(parse_stat("garbage"), None);
    }

    fn own_record() -> PidRecord {
        let pid = i32::try_from(std::process::id()).unwrap();
        let start_ticks = read_stat(pid).unwrap().start_ticks;
        PidRecord {
            daemon: Daemon {
                name: "self".into(),
                program: "self".into(),
                args: Vec::new(),
            },
            path: String::new(),
            pid,
            start_ticks,
            boot_id: boot_id(),
        }
    }

    #[test]
    fn a_reused_pid_is_not_ours() {
        let record = own_record();
        assert!(alive(&record));
        assert!(!alive(&PidRecord {
            start_ticks: record.start_ticks + 1,
            ..record.clone()
        }));
        assert!(!alive(&PidRecord {
            boot_id: "another boot".into(),
            ..record
        }));
    }

    #[tokio::test]
    async fn a_component_is_recorded_and_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, daemon) = sleeper(dir.path());
        let record = spawn(&layout, "/usr/bin:/bin", &daemon).unwrap();
        assert_eq!(records(&layout), vec![record.clone()]);
        stop(&record, Duration::from_secs(2)).await;
        assert!(!alive(&record));
    }
}
