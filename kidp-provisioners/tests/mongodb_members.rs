//! The scripts of MongoDB's members, run by this machine's shell against servers that answer `hello` as MongoDB does in
//! each state: who makes the set and when, who waits, and who counts as ready.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use kidp_core::size::Size;
use kidp_provisioners::engines::mongodb::Mongodb;
use serde_json::json;
use support::{build, instance_of, of_kind};

/// What a server says of itself; `Away` does not answer.
#[derive(Clone, Copy)]
enum State {
    Primary,
    Secondary,
    Syncing,
    Uninitiated,
    Alone,
    Away,
}
use State::{Alone, Away, Primary, Secondary, Syncing, Uninitiated};

/// The fields of the answer that tell states apart, as the manual has them
/// (<https://www.mongodb.com/docs/manual/reference/command/hello/#output>), in BSON.
fn answer(state: State) -> Vec<u8> {
    let truth = |name: &str, value: bool| [&[8], name.as_bytes(), &[0, u8::from(value)]].concat();
    let set = [&[2], b"setName".as_slice(), &[0, 4, 0, 0, 0], b"rs0\0"].concat();
    let fields = match state {
        Alone => vec![truth("isWritablePrimary", true)],
        Uninitiated => vec![
            truth("isWritablePrimary", false),
            truth("secondary", false),
            truth("isreplicaset", true),
        ],
        Primary => vec![set, truth("isWritablePrimary", true), truth("secondary", false)],
        Secondary => vec![set, truth("isWritablePrimary", false), truth("secondary", true)],
        Syncing | Away => vec![set, truth("isWritablePrimary", false), truth("secondary", false)],
    };
    let ok = [&[1], b"ok\0".as_slice(), &1f64.to_le_bytes()].concat();
    let body = [fields.concat(), ok, vec![0]].concat();
    let size = |bytes: usize| u32::try_from(bytes).unwrap().to_le_bytes();
    let document = [size(body.len() + 4).to_vec(), body].concat();
    let head = [[7, 0, 0, 0], [1, 0, 0, 0], [0xdd, 7, 0, 0], [0; 4]].concat();
    [
        size(4 + head.len() + 1 + document.len()).to_vec(),
        head,
        vec![0],
        document,
    ]
    .concat()
}

/// A server at 127.0.0.<host>, for as long as the test runs.
fn serve(host: usize, port: u16, state: State) {
    if matches!(state, Away) {
        return;
    }
    let listener = TcpListener::bind((format!("127.0.0.{host}"), port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut question = [0; 52];
            // A probe of another kind may hang up.
            if stream.read_exact(&mut question).is_ok() {
                assert_eq!(&question[26..31], b"hello");
                let _ = stream.write_all(&answer(state));
            }
        }
    });
}

/// The scripts in a folder, and a shell of MongoDB's that writes down what it is called with.
struct Scripts {
    folder: PathBuf,
    port: u16,
}

impl Scripts {
    fn new(states: [State; 3]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("kidp-mongodb-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // A port that is free at one address is taken at the others too.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        for (ordinal, state) in states.into_iter().enumerate() {
            serve(10 + ordinal, port, state);
        }
        let extra = json!({"highAvailability": true});
        let manifests = build(&instance_of(
            &Mongodb::default(),
            "orders",
            "8",
            Size::Small,
            &extra,
        ));
        let files = of_kind(&manifests, "ConfigMap")[0]["data"].clone();
        for (name, text) in files.as_object().unwrap() {
            let text = text.as_str().unwrap();
            let text = text
                .replace("/tmp/kidp-logged-in", &format!("{}/logged-in", folder.display()))
                .replace("/etc/mongod/", &format!("{}/", folder.display()))
                // Addresses are names here.
                .replace(".$DOMAIN", "");
            std::fs::write(folder.join(name), text).unwrap();
        }
        let shell = folder.join("mongosh");
        std::fs::write(
            &shell,
            format!("#!/bin/sh\necho \"$@\" >> {}/called\n", folder.display()),
        )
        .unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&shell, executable).unwrap();
        Self { folder, port }
    }

    /// Runs a script as a member: whether it succeeds, and the last thing that it ran in MongoDB's shell.
    fn run(&self, script: &str, ordinal: usize) -> (bool, Option<String>) {
        let name = |ordinal: usize| format!("127.0.0.{}", 10 + ordinal);
        let path = format!("{}:{}", self.folder.display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash")
            .arg(self.folder.join(script))
            .env("PATH", path)
            .env("PORT", self.port.to_string())
            .env("MEMBERS", [0, 1, 2].map(name).join(" "))
            .env("POD_NAME", name(ordinal))
            .env("POD_IP", name(ordinal))
            .output()
            .unwrap();
        println!(
            "{script} {ordinal}: {}",
            String::from_utf8_lossy(&output.stdout).trim()
        );
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let called = std::fs::read_to_string(self.folder.join("called")).ok();
        let last = called.and_then(|text| text.trim().rsplit('/').next().map(ToOwned::to_owned));
        (output.status.success(), last)
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn the_set_is_made_by_the_first_member_when_all_say_that_there_is_none() {
    let made = Some("initiate.js".to_owned());
    assert_eq!(Scripts::new([Uninitiated; 3]).run("join.sh", 0), (false, made));
    // Nobody else makes it.
    for ordinal in [1, 2] {
        assert_eq!(
            Scripts::new([Uninitiated; 3]).run("join.sh", ordinal),
            (false, None)
        );
    }
    // A first member whose volume was lost: the others know the set, or one of them might.
    for others in [
        [Primary, Secondary],
        [Secondary, Away],
        [Uninitiated, Away],
        [Away, Away],
        [Uninitiated, Syncing],
    ] {
        let states = [Uninitiated, others[0], others[1]];
        assert_eq!(Scripts::new(states).run("join.sh", 0), (false, None));
    }
}

#[test]
fn a_member_has_started_when_it_is_of_the_set_with_or_without_the_data() {
    let states = [Primary, Secondary, Syncing];
    let scripts = Scripts::new(states);
    for ordinal in 0..3 {
        assert_eq!(scripts.run("join.sh", ordinal), (true, None));
        assert_eq!(scripts.run("alive.sh", ordinal), (true, None));
    }
    // Ready are those who serve, after a login; it is made once.
    let login = Some("login.js".to_owned());
    assert_eq!(scripts.run("ready.sh", 2), (false, None));
    assert_eq!(scripts.run("ready.sh", 1), (true, login.clone()));
    std::fs::remove_file(scripts.folder.join("called")).unwrap();
    assert_eq!(scripts.run("ready.sh", 0), (true, None));
    let away = Scripts::new([Away; 3]);
    for script in ["join.sh", "ready.sh", "alive.sh"] {
        assert_eq!(away.run(script, 0), (false, None));
    }
}

/// The first is replaced when the new ones are ready, and not before.
#[test]
fn new_members_wait_for_a_server_alone_to_become_the_first() {
    let scripts = Scripts::new([Alone, Uninitiated, Uninitiated]);
    for ordinal in [1, 2] {
        for script in ["join.sh", "ready.sh", "alive.sh"] {
            assert_eq!(scripts.run(script, ordinal), (true, None));
        }
    }
    let restarting = Scripts::new([Away, Uninitiated, Uninitiated]);
    assert_eq!(restarting.run("join.sh", 1), (false, None));
    assert_eq!(restarting.run("ready.sh", 1), (false, None));
}
