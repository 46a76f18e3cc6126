//! The packet filter: one chain of our own that keeps pods' packets on this machine, and the removal of every chain
//! that kube-proxy, the kubelet, the CNI plugins and we made. Rules of others are left alone.
use std::fmt::Write as _;

use super::{Error, POD_CIDR};
use crate::process::{Cmd, ProcessError};

const PREFIXES: [&str; 3] = ["KUBE-", "CNI-", "KIDP-"];
const TABLES: [&str; 4] = ["nat", "filter", "mangle", "raw"];

/// Rejects what pods send to an address outside of the cluster.
pub async fn keep_pods_inside() -> Result<(), Error> {
    let rules = format!(
        "*filter\n:KIDP-FORWARD - [0:0]\n-A KIDP-FORWARD -s {POD_CIDR} ! -d {POD_CIDR} -j REJECT\n\
         -I FORWARD -j KIDP-FORWARD\nCOMMIT\n"
    );
    restore(rules).await
}

/// The chain of a [`cut`].
const CUT: &str = "KIDP-CUT";

/// Drops every packet between two pods, in both directions, from now until [`heal`]. Connections that exist stay open
/// at both ends and carry nothing, as when a cable is pulled.
pub async fn cut(a: &str, b: &str) -> Result<(), Error> {
    let rules = format!(
        "*filter\n:{CUT} - [0:0]\n-A {CUT} -s {a} -d {b} -j DROP\n-A {CUT} -s {b} -d {a} -j DROP\n\
         -I FORWARD -j {CUT}\nCOMMIT\n"
    );
    restore(rules).await
}

/// Takes a [`cut`] back, and says how many packets it dropped.
pub async fn heal() -> Result<u64, Error> {
    let counters = Cmd::new("iptables")
        .args(["-w", "10", "-nvxL", CUT])
        .output()
        .await?;
    restore(format!(
        "*filter\n-D FORWARD -j {CUT}\n-F {CUT}\n-X {CUT}\nCOMMIT\n"
    ))
    .await?;
    Ok(dropped(&counters))
}

async fn restore(rules: String) -> Result<(), Error> {
    Cmd::new("iptables-restore")
        .args(["--noflush", "-w", "10"])
        .stdin(rules)
        .output()
        .await?;
    Ok(())
}

/// The sum of the packets in a listing of rules: the first column, below two lines of headings.
fn dropped(listing: &str) -> u64 {
    listing
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

/// Chains of the cluster that exist now, as `tool/table/chain`.
pub async fn chains() -> Vec<String> {
    let mut found = Vec::new();
    for family in ["iptables", "ip6tables"] {
        for table in TABLES {
            let saved = save(family, table).await.unwrap_or_default();
            found.extend(our_chains(&saved).map(|chain| format!("{family}/{table}/{chain}")));
        }
    }
    found
}

/// Removes the cluster's chains and the rules that lead to them.
pub async fn clean() -> Result<(), Error> {
    for family in ["iptables", "ip6tables"] {
        for table in TABLES {
            // A kernel without IPv6 filtering has nothing to remove.
            let Ok(saved) = save(family, table).await else {
                continue;
            };
            if let Some(script) = removal(table, &saved) {
                let restore = format!("{family}-restore");
                Cmd::new(restore)
                    .args(["--noflush", "-w", "10"])
                    .stdin(script)
                    .output()
                    .await?;
            }
        }
    }
    Ok(())
}

async fn save(family: &str, table: &str) -> Result<String, ProcessError> {
    Cmd::new(format!("{family}-save"))
        .args(["-t", table])
        .output()
        .await
}

fn is_ours(chain: &str) -> bool {
    PREFIXES.iter().any(|prefix| chain.starts_with(prefix))
}

fn our_chains(saved: &str) -> impl Iterator<Item = &str> {
    let names = saved
        .lines()
        .filter_map(|line| line.strip_prefix(':')?.split(' ').next());
    names.filter(|name| is_ours(name))
}

/// What `iptables-restore --noflush` must read to forget our chains: first the jumps to them from chains of others,
/// then their rules, then themselves.
fn removal(table: &str, saved: &str) -> Option<String> {
    let chains: Vec<&str> = our_chains(saved).collect();
    if chains.is_empty() {
        return None;
    }
    let mut script = format!("*{table}\n");
    for line in saved.lines() {
        let Some(rule) = line.strip_prefix("-A ") else {
            continue;
        };
        let owner = rule.split(' ').next().unwrap_or_default();
        let target = rule
            .rsplit_once(" -j ")
            .and_then(|(_, t)| t.split(' ').next())
            .unwrap_or_default();
        if !is_ours(owner) && is_ours(target) {
            let _ = writeln!(script, "-D {rule}");
        }
    }
    for command in ["-F", "-X"] {
        for chain in &chains {
            let _ = writeln!(script, "{command} {chain}");
        }
    }
    script.push_str("COMMIT\n");
    Some(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "# made by a tool\n*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n:DOCKER - [0:0]\n\
        -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
        -A PREROUTING -j DOCKER\n-A KUBE-SERVICES -j RETURN\nCOMMIT\n";

    #[test]
    fn only_our_chains_are_removed_and_jumps_first() {
        let expected = "*nat\n-D PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
            -F KUBE-SERVICES\n-X KUBE-SERVICES\nCOMMIT\n";
        assert_eq!(removal("nat", SAVED).as_deref(), Some(expected));
    }

    #[test]
    fn a_table_without_our_chains_is_not_touched() {
        assert_eq!(
            removal("nat", "*nat\n:DOCKER - [0:0]\n-A PREROUTING -j DOCKER\nCOMMIT\n"),
            None
        );
    }
}
