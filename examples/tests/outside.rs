//! The examples as a stranger would have them: copied into a package of their own, outside the workspace, which
//! depends on the SDK by path. This is what shows that the libraries do not lean on the workspace.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MANIFEST: &str = r#"
[package]
name = "stranger"
version = "0.0.0"
edition = "2024"

[dependencies]
kidp-core = { path = "@/kidp-core" }
kidp-provisioners = { path = "@/kidp-provisioners" }
k8s-openapi = { version = "0.29", features = ["v1_36"] }
kube = { version = "5", default-features = false, features = ["client", "rustls-tls", "ring"] }
serde_json = "1"
tokio = { version = "1", features = ["macros", "rt-multi-thread", "time"] }

[workspace]
"#;

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A package with the example that renders as its program, and the one that embeds beside it.
fn stranger(folder: &Path) {
    let checkout = checkout();
    let manifest = MANIFEST.replace('@', &checkout.display().to_string());
    std::fs::create_dir_all(folder.join("src/bin")).unwrap();
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    // The versions of the workspace, so that nothing has to be fetched.
    std::fs::copy(checkout.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    for example in ["render", "embed"] {
        let source = checkout.join(format!("examples/examples/{example}.rs"));
        std::fs::copy(source, folder.join(format!("src/bin/{example}.rs"))).unwrap();
    }
}

fn cargo(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .output()
        .unwrap()
}

/// Beside the workspace's own, so that a second run builds little.
fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.ancestors().find(|folder| folder.ends_with("deps")).unwrap();
    profile.parent().unwrap().parent().unwrap().join("stranger")
}

#[test]
fn a_copy_outside_the_workspace_builds_and_renders_every_engine() {
    let folder = std::env::temp_dir().join(format!("kidp-stranger-{}", std::process::id()));
    stranger(&folder);
    let built = cargo(&folder, &["build", "--offline", "--bins"]);
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let render = target().join("debug/render");
    for (asked, image) in [
        ("postgresql", "library/postgres:"),
        ("mysql", "library/mysql:"),
        ("mongodb", "library/mongo:"),
        ("redis", "library/redis:"),
        ("Cache/redis", "library/redis:"),
        ("rabbitmq", "library/rabbitmq:"),
    ] {
        let run = Command::new(&render).arg(asked).output().unwrap();
        let (yaml, said) = (
            String::from_utf8_lossy(&run.stdout),
            String::from_utf8_lossy(&run.stderr),
        );
        assert!(run.status.success(), "{asked}: {said}");
        assert!(
            yaml.contains("kind: StatefulSet") && yaml.contains(image),
            "{asked}: {yaml}"
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
