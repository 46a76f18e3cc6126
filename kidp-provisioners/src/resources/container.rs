//! Parts of containers that every engine's pod has.

use k8s_openapi::api::core::v1::{ContainerPort, EnvVar, ExecAction, Probe};

use super::service::Port;

/// A variable with a value. Never a password: those are files.
pub fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..EnvVar::default()
    }
}

/// A port that the container listens on.
pub fn port(port: &Port) -> ContainerPort {
    ContainerPort {
        name: Some(port.name.to_owned()),
        container_port: i32::from(port.number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// A command, run without a shell.
pub fn exec(words: &[&str]) -> ExecAction {
    ExecAction {
        command: Some(words.iter().map(|word| (*word).to_owned()).collect()),
    }
}

/// Every second, for as long as ten minutes: an instance is ready as soon as it is, and recovery after a crash takes
/// the time it takes.
pub fn startup(check: ExecAction) -> Probe {
    probe(check, [1, 3, 600])
}

/// Every five seconds; three failures take a member out of the Service.
pub fn readiness(check: ExecAction) -> Probe {
    probe(check, [5, 5, 3])
}

/// A minute without any answer starts the container anew.
pub fn liveness(check: ExecAction) -> Probe {
    probe(check, [10, 5, 6])
}

fn probe(check: ExecAction, [period, timeout, failures]: [i32; 3]) -> Probe {
    Probe {
        exec: Some(check),
        period_seconds: Some(period),
        timeout_seconds: Some(timeout),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
