//! Three members, their Sentinels, and how clients find the master.
//!
//! ```text
//! pod of each member
//!   prepare    writes configurations into a folder in memory, and ends
//!   sentinel   :26379  watches the master, votes, fails over; its state is on the volume
//!   router     :6380   HAProxy: to whichever member is the master; behind the Service's port 6379
//!   redis      :6379   asks the Sentinels whom to follow before it starts
//! ```
//!
//! # Who decides
//! Sentinel alone (<https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/>): two of three agree that a
//! master is away, and vote for the one that promotes a replica. Nothing here ever promotes.
//!
//! # Who is the master after a restart
//! Sentinels keep master, epochs and votes on the volume. A member's Redis does not start before two Sentinels have
//! answered, its own among them, and follows the newest epoch: whatever restarts, also everything at once, there is one
//! master, and it is the last one. The first pod of a new set is the first master, since its Sentinels know nothing
//! else. A member whose volume is empty never starts as the master of others that have data, and none is promoted
//! before it has had the data once.
//!
//! # What is written where
//! A master without a replica in sync takes no writes (`min-replicas-to-write`), so that one which is cut off loses at
//! most what it took in the ten seconds before it noticed. Replication is asynchronous: a master that dies takes with
//! it what it acknowledged and had not sent. One that is stopped in an orderly way loses nothing, see `leave.sh`.
//! Sentinel's file on the volume has the members' key, which it writes there itself; the password is on no disk.
//!
//! # How clients find the master
//! Every client reaches it at the instance's usual host and port, through the router of any pod. A Service cannot do
//! that: it leads to pods that are ready, and replicas are ready too. Choosing by label would take a controller with a
//! right to the API server in every pod. Clients that speak Sentinel find the three in the Secret, and connect to
//! members directly.

mod pod;

use std::fmt::Write;

use super::{MASTER_NAME, PORT, SENTINEL_PORT, acl};
use crate::instance::Instance;
use crate::resources::config_map::Files;
use crate::resources::meta::Scope;
use crate::resources::service::Port;

pub(super) use pod::workload;

/// How many members there are: the fewest of which one can be away.
pub(super) const COUNT: i32 = 3;

/// Where a router listens; the Service's port 6379 leads there.
pub(super) const ROUTER_PORT: Port = Port {
    name: "router",
    number: 6380,
    app_protocol: "redis",
};

/// What members and their tools may do on each other's Redis: replicate, and what Sentinel needs
/// (<https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/#acl-rules-for-sentinel-and-replicas>).
/// No key is open to them.
const MEMBER_RULES: &str = "&* -@all +ping +info +role +psync +replconf +multi +exec +slaveof +subscribe +publish \
                            +config|rewrite +config|set +client|setname +client|kill +client|pause +script|kill";

/// What clients may do on a Sentinel: ask.
const ASKING_RULES: &str = "&* -@all +@connection +@pubsub -@admin -@dangerous -publish +info +role \
                            +sentinel|ckquorum +sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters \
                            +sentinel|myid +sentinel|replicas +sentinel|sentinels +sentinel|slaves";

/// Whether the instance has three members.
pub(super) fn wanted(instance: &Instance) -> bool {
    instance.spec.high_availability
}

/// The settings of a member besides those of a server alone.
pub(super) fn settings(instance: &Instance) -> Vec<(&'static str, String)> {
    if !wanted(instance) {
        return Vec::new();
    }
    vec![
        ("masteruser", "members".to_owned()),
        ("min-replicas-to-write", "1".to_owned()),
        ("min-replicas-max-lag", "10".to_owned()),
        // A replica that is sent everything waits for others to come, and there is one other at most.
        ("repl-diskless-sync-delay", "1".to_owned()),
        // What a replica may have missed and still catch up on, without all the data being sent.
        (
            "repl-backlog-size",
            format!("{}mb", (instance.spec.size.memory_bytes() >> 20) / 64),
        ),
    ]
}

/// The files of the ConfigMap besides `redis.conf`.
pub(super) fn files(instance: &Instance) -> Files {
    if !wanted(instance) {
        return Files::new();
    }
    let scope = Scope::new(instance);
    [
        // Clients that speak Sentinel ask for the role, to be sure of what a Sentinel told them.
        // <https://redis.io/docs/latest/develop/reference/sentinel-clients/>
        (
            "users.acl",
            format!(
                "user default on #@PASSWORD@ {} +role\nuser members on #@MEMBERS@ {MEMBER_RULES}\n",
                acl::CLIENT_RULES
            ),
        ),
        (
            "sentinel.acl",
            format!("user default on #@PASSWORD@ {ASKING_RULES}\nuser members on #@MEMBERS@ &* +@all\n"),
        ),
        ("router.cfg", router(&scope)),
        ("prepare.sh", include_str!("members/prepare.sh").to_owned()),
        ("sentinel.sh", include_str!("members/sentinel.sh").to_owned()),
        ("start.sh", include_str!("members/start.sh").to_owned()),
        ("ready.sh", include_str!("members/ready.sh").to_owned()),
        ("leave.sh", include_str!("members/leave.sh").to_owned()),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text))
    .collect()
}

/// The router's configuration, with a server for each member and a page that says whether there is a master.
fn router(scope: &Scope<'_>) -> String {
    let mut text = include_str!("members/router.cfg").to_owned();
    let (headless, namespace) = (scope.name("headless"), &scope.instance.namespace);
    for name in names(scope) {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "    server {name} {name}.{headless}.{namespace}.@SVC@:{}",
            PORT.number
        );
    }
    text.push_str(include_str!("members/health.cfg"));
    text
}

/// Names of the pods.
fn names(scope: &Scope<'_>) -> Vec<String> {
    (0..COUNT)
        .map(|ordinal| format!("{}-{ordinal}", scope.base))
        .collect()
}

/// The domain of the members' names, without the cluster's, which is not ours to know.
fn domain(scope: &Scope<'_>) -> String {
    format!("{}.{}.svc", scope.name("headless"), scope.instance.namespace)
}

/// What the connection Secret has besides the entries of a server alone, for clients that speak Sentinel. Sentinels
/// take the same password.
pub(super) fn connection_entries(scope: &Scope<'_>) -> Vec<(&'static str, String)> {
    if !wanted(scope.instance) {
        return Vec::new();
    }
    let domain = domain(scope);
    let hosts: Vec<_> = names(scope)
        .iter()
        .map(|name| format!("{name}.{domain}:{}", SENTINEL_PORT.number))
        .collect();
    vec![
        ("sentinel-hosts", hosts.join(",")),
        ("sentinel-master", MASTER_NAME.to_owned()),
    ]
}
