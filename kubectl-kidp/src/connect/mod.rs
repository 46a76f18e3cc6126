//! `connect`: a port of this machine that leads to an instance, and the engine's client on it.
//!
//! The password goes to the client in a file that only the user can read and that is gone afterwards: never as an argument, nor
//! as the value of a variable, since others may see both. Clients that take it in no other way are not run; the command says
//! how they are.

mod client;

use std::process::ExitStatus;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{ConnectArgs, Global};
use crate::error::{Error, Result, Verdict};
use crate::forward::{self, Destination, Forward};
use crate::kinds::{self, Subject};
use crate::output;
use crate::session::Session;
use client::{Login, Prepared};

/// Connects.
pub async fn run(global: &Global, args: &ConnectArgs) -> Result<Verdict> {
    let session = Session::open(global).await?;
    let subject = kinds::get(&session, &args.resource).await?;
    let to = destination(&subject)?;
    let login = login(&session, &subject).await?;
    let forward = forward::open(&session, &session.target, &to, args.local_port).await?;
    if args.exec {
        return exec(&subject, &login, &forward, &args.arguments).await;
    }
    tell(&subject, &login, &forward)?;
    let mut end = ends()?;
    tokio::select! {
        _ = end.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(Verdict::Good)
}

fn ends() -> Result<tokio::signal::unix::Signal> {
    signal(SignalKind::terminate()).map_err(|source| Error::File {
        path: "signals".into(),
        source,
    })
}

/// The Service that the endpoint names.
fn destination(subject: &Subject) -> Result<Destination> {
    let not_yet = || {
        let key = format!("{}/{}", subject.kind, subject.name());
        Error::Missing(format!(
            "{key} has no endpoint yet; `kubectl kidp status {key}` says why"
        ))
    };
    let status = &subject.status;
    let (Some(endpoint), Some(port)) = (&status.endpoint, status.port) else {
        return Err(not_yet());
    };
    let mut labels = endpoint.split('.');
    let service = labels.next().unwrap_or_default().to_owned();
    let namespace = labels.next().unwrap_or(subject.namespace()).to_owned();
    Ok(Destination {
        namespace,
        service,
        port,
    })
}

async fn login(session: &Session, subject: &Subject) -> Result<Login> {
    let reference = subject.status.connection_secret_ref.clone();
    let reference =
        reference.ok_or_else(|| Error::Missing("the status names no connection Secret yet".to_owned()))?;
    let namespace = reference
        .namespace
        .unwrap_or_else(|| subject.namespace().to_owned());
    let api: Api<Secret> = Api::namespaced(session.target.clone(), &namespace);
    let doing = format!("reading Secret {namespace}/{}", reference.name);
    let found = session.ask(&doing, api.get_opt(&reference.name)).await?;
    let missing = || {
        Error::Missing(format!(
            "there is no Secret {namespace}/{} in this cluster",
            reference.name
        ))
    };
    let secret = found.ok_or_else(missing)?;
    Login::of(&secret).ok_or_else(|| {
        Error::Missing(format!(
            "Secret {namespace}/{} lacks username, password or database",
            reference.name
        ))
    })
}

/// How the engine's client is run by hand.
fn tell(subject: &Subject, login: &Login, forward: &Forward) -> Result<()> {
    let status = &subject.status;
    let secret = status
        .connection_secret_ref
        .as_ref()
        .map_or("", |secret| secret.name.as_str());
    output::print(&format!(
        "127.0.0.1:{} leads to {}; Ctrl-C ends it\n\n  {}\n\nThe password: kubectl get secret -n {} {secret} -o \
         jsonpath='{{.data.password}}' | base64 -d\n",
        forward.port,
        forward.pod,
        output::line(&client::by_hand(subject.instance.engine, login, forward.port)),
        subject.namespace(),
    ))
}

/// Runs the engine's client until it ends.
async fn exec(subject: &Subject, login: &Login, forward: &Forward, more: &[String]) -> Result<Verdict> {
    let engine = subject.instance.engine;
    let folder = client::folder()?;
    let prepared = client::prepare(engine, login, forward.port, folder.path())?;
    let ended = attend(start(&prepared, more)?).await;
    // Also where waiting failed: the folder goes first.
    folder.close().map_err(|source| Error::File {
        path: "the folder with the password".into(),
        source,
    })?;
    Ok(if ended?.success() {
        Verdict::Good
    } else {
        Verdict::Bad
    })
}

fn start(prepared: &Prepared, more: &[String]) -> Result<Child> {
    let mut command = Command::new(prepared.program);
    command
        .args(&prepared.arguments)
        .args(more)
        .envs(prepared.variables.iter().cloned())
        .kill_on_drop(true);
    for name in client::PASSWORD_VARIABLES {
        command.env_remove(name);
    }
    command.spawn().map_err(|source| Error::File {
        path: prepared.program.into(),
        source,
    })
}

/// Ctrl-C is for the client, which shares the terminal; being asked to end ends both.
async fn attend(mut child: Child) -> Result<ExitStatus> {
    let failed = |source| Error::File {
        path: "the client".into(),
        source,
    };
    let mut end = ends()?;
    loop {
        tokio::select! {
            status = child.wait() => return status.map_err(failed),
            _ = tokio::signal::ctrl_c() => {}
            _ = end.recv() => child.start_kill().map_err(failed)?,
        }
    }
}
