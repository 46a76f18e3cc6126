//! The program itself, with every command that asks no cluster: what it prints and its exit code, as snapshots. And its help,
//! which the documentation repeats.
#![allow(clippy::unwrap_used, clippy::format_push_string)]

use std::path::Path;
use std::process::{Command, Output};

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kubectl-kidp"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files"))
        // No cluster is there for it.
        .env("KUBECONFIG", "/nonexistent")
        .env_remove("HOME")
        .output()
        .unwrap()
}

fn told(line: &str) -> String {
    let output = program(&line.split(' ').collect::<Vec<_>>());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code().unwrap();
    format!(
        "$ kubectl kidp {line}\n{}{}exit code {code}\n",
        text(&output.stdout),
        text(&output.stderr)
    )
}

#[test]
fn validate() {
    insta::assert_snapshot!("validate_good", told("validate -f good.yaml"));
    insta::assert_snapshot!("validate_bad", told("validate -f bad.yaml"));
    insta::assert_snapshot!("validate_json", told("validate -f refused.yaml -o json"));
    insta::assert_snapshot!("validate_missing_file", told("validate -f missing.yaml"));
}

#[test]
fn plan() {
    insta::assert_snapshot!("plan_changed", told("plan -f changed.yaml --against good.yaml"));
    insta::assert_snapshot!("plan_refused", told("plan -f refused.yaml --against good.yaml"));
    insta::assert_snapshot!("plan_upgrade", told("plan -f upgrade.yaml --against good.yaml"));
    insta::assert_snapshot!("plan_unchanged", told("plan -f good.yaml --against good.yaml"));
    insta::assert_snapshot!("plan_new", told("plan -f good.yaml --against other.yaml -o yaml"));
}

#[test]
fn create() {
    let line = "create db/orders --team payments --engine postgresql --engine-version 15 --storage 10Gi";
    insta::assert_snapshot!(
        "create_dry_run",
        told(&format!(
            "{line} --parameter work_mem=8MB --region eu --dry-run=client"
        ))
    );
    insta::assert_snapshot!(
        "create_refused",
        told(&format!("{line} --parameter work_memory=8MB --dry-run=client"))
    );
    insta::assert_snapshot!(
        "create_unknown_size",
        told(&format!("{line} --size tiny --dry-run"))
    );
    insta::assert_snapshot!("create_no_cluster", told(line));
}

#[test]
fn catalog() {
    insta::assert_snapshot!("catalog", told("catalog"));
    insta::assert_snapshot!("catalog_without", told("catalog --without cloudnative-pg"));
}

#[test]
fn what_create_shows_is_valid() {
    let line = "create mq/jobs -n shop --application web --engine rabbitmq --engine-version 4 --storage 1Gi --high-availability \
                --deletion-policy Retain --dry-run=client";
    let made = program(&line.split_whitespace().collect::<Vec<_>>());
    assert!(made.status.success());
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), &made.stdout).unwrap();
    let checked = program(&["validate", "-f", file.path().to_str().unwrap()]);
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stdout)
    );
}

#[test]
fn estimate() {
    insta::assert_snapshot!(
        "estimate",
        told("estimate -f good.yaml -f other.yaml --price-book book.yaml")
    );
    insta::assert_snapshot!(
        "estimate_unpriced",
        told("estimate -f good.yaml --price-book book-without-storage.yaml")
    );
}

#[test]
fn wrong_use() {
    insta::assert_snapshot!("wrong_reference", told("status pod/orders"));
    insta::assert_snapshot!("wrong_time", told("wait db/orders --timeout 10d"));
    insta::assert_snapshot!("wrong_live", told("plan -f good.yaml --against good.yaml --live"));
}

/// A kubeconfig of a cluster at this address.
fn kubeconfig(address: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
         users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u, namespace: shop}}}}]\n"
    );
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn a_cluster_that_does_not_answer_is_waited_for_no_longer_than_was_said() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let config = kubeconfig(&address);
    let path = config.path().to_str().unwrap();
    let start = std::time::Instant::now();
    let silent = program(&[
        "status",
        "db/orders",
        "--kubeconfig",
        path,
        "--request-timeout",
        "1s",
    ]);
    let error = String::from_utf8(silent.stderr).unwrap();
    assert_eq!(silent.status.code(), Some(3), "{error}");
    assert_eq!(error, "error: reading Database/orders: no answer within 1 s\n");
    assert!(start.elapsed() < std::time::Duration::from_secs(20));
    drop(listener);
    let closed = program(&["wait", "db/orders", "--kubeconfig", path, "--timeout", "1s"]);
    let error = String::from_utf8(closed.stderr).unwrap();
    assert_eq!(
        closed.status.code(),
        Some(4),
        "an API server may come back: {error}"
    );
    let unknown = program(&["status", "db/orders", "--kubeconfig", path, "--context", "other"]);
    assert_eq!(unknown.status.code(), Some(3));
}

/// `docs/cli.md` repeats the help of every command; `UPDATE_DOCS=1 cargo test -p kubectl-kidp` writes it anew.
#[test]
fn the_documentation_has_the_help_as_it_is() {
    let commands = [
        "",
        "status",
        "create",
        "wait",
        "validate",
        "plan",
        "catalog",
        "drift",
        "adopt",
        "connect",
        "estimate",
        "costs",
        "completion",
    ];
    let mut help = String::new();
    for command in commands {
        let arguments: Vec<_> = command.split_whitespace().chain(["-h"]).collect();
        let output = program(&arguments);
        let heading = format!("kubectl kidp {command}");
        let text = String::from_utf8(output.stdout).unwrap();
        // What every command has is told once.
        let own: Vec<_> = text
            .lines()
            .filter(|line| command.is_empty() || !is_global(line))
            .map(str::trim_end)
            .collect();
        help.push_str(&format!(
            "\n### `{}`\n\n```text\n{}\n```\n",
            heading.trim(),
            own.join("\n").trim()
        ));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let mark = "<!-- The rest is generated. -->\n";
    let (written, generated) = document.split_once(mark).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{written}{mark}{help}")).unwrap();
        return;
    }
    assert!(
        generated == help,
        "docs/cli.md is not the help as it is; UPDATE_DOCS=1 cargo test -p kubectl-kidp writes it"
    );
}

fn is_global(line: &str) -> bool {
    let options = [
        "--kubeconfig",
        "--context",
        "--target-context",
        "--namespace",
        "--output",
        "--color",
        "--request-timeout",
    ];
    let line = line
        .trim_start()
        .trim_start_matches("-n, ")
        .trim_start_matches("-o, ");
    options.iter().any(|option| line.starts_with(option))
}

#[test]
fn completion_scripts_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = program(&["completion", shell]);
        assert!(output.status.success());
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("validate"),
            "{shell}"
        );
    }
}
