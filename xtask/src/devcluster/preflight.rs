//! Refuses early and clearly: what is wrong with this machine, and what to do about it.
use std::net::Ipv4Addr;

use super::binaries::Binaries;
use super::components::PORTS;
use super::{Error, NODE_BRIDGE, POD_BRIDGE};
use crate::paths::Layout;
use crate::process::Cmd;

/// Debian packages that the cluster needs, and why.
pub const PACKAGES: [(&str, &str); 12] = [
    ("iptables", "kube-proxy's rules"),
    ("conntrack", "kube-proxy forgets stale flows"),
    ("ethtool", "checked by the kubelet"),
    ("socat", "kubectl port-forward"),
    ("iproute2", "the node's bridge and route"),
    ("util-linux", "starting components in sessions of their own"),
    ("mmdebstrap", "building images"),
    ("gcc", "runc and the pause program"),
    ("libc6-dev", "runc and the pause program"),
    ("libseccomp-dev", "runc's seccomp profile"),
    ("pkg-config", "runc's seccomp profile"),
    ("ca-certificates", "downloading Go modules"),
];

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;

/// Checks what the system and the user must be. Comes before anything is opened or asked.
pub fn check_machine() -> Result<(), Error> {
    if !cfg!(target_os = "linux") {
        return Err(Error::NotLinux);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    for (bit, name) in [(CAP_SYS_ADMIN, "CAP_SYS_ADMIN"), (CAP_NET_ADMIN, "CAP_NET_ADMIN")] {
        if !has_capability(&status, bit) {
            return Err(Error::MissingCapability { name });
        }
    }
    Ok(())
}

/// Checks that what is not built yet can be built.
pub async fn check_build(binaries: &Binaries) -> Result<(), Error> {
    if !binaries.built() && !Cmd::new("go").arg("version").succeeds().await {
        return Err(Error::NoGo);
    }
    Ok(())
}

/// Checks that containerd can stack file systems in the state folder: inside a container it often cannot.
pub fn check_storage(layout: &Layout) -> Result<(), Error> {
    const OVERLAYFS_MAGIC: u64 = 0x794c_7630;
    let path = &layout.state;
    std::fs::create_dir_all(path).map_err(Error::io(path))?;
    let found = rustix::fs::statfs(path).map_err(|e| Error::io(path)(e.into()))?;
    if u64::try_from(found.f_type) == Ok(OVERLAYFS_MAGIC) {
        return Err(Error::StateOnOverlay { path: path.clone() });
    }
    Ok(())
}

/// Checks that nothing else uses the cluster's addresses and ports. Only after an earlier cluster was removed.
pub fn check_network() -> Result<(), Error> {
    check_addresses()?;
    check_ports()
}

fn has_capability(status: &str, bit: u32) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|caps| caps >> bit & 1 == 1)
}

fn check_ports() -> Result<(), Error> {
    for (file, kind) in [("tcp", "TCP"), ("tcp6", "TCP"), ("udp", "UDP"), ("udp6", "UDP")] {
        let table = std::fs::read_to_string(format!("/proc/net/{file}")).unwrap_or_default();
        for (address, port) in listeners(&table, kind == "TCP") {
            let wanted = if kind == "TCP" {
                PORTS.contains(&port)
            } else {
                port == 53
            };
            if wanted && conflicts(&address, port) {
                return Err(Error::PortTaken { kind, port });
            }
        }
    }
    Ok(())
}

/// Addresses and ports that something listens on, from a table under `/proc/net`. The address stays in the
/// kernel's own hexadecimal.
fn listeners(table: &str, tcp: bool) -> Vec<(String, u16)> {
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listening = !tcp || *fields.get(3)? == "0A";
        let (address, port) = fields.get(1)?.split_once(':')?;
        listening.then_some((address.to_owned(), u16::from_str_radix(port, 16).ok()?))
    });
    rows.collect()
}

/// Whether a listener stands in our way. `CoreDNS` binds the node address only, so that a resolver on the loopback
/// (systemd's, say) may keep its port 53.
fn conflicts(address: &str, port: u16) -> bool {
    const LOOPBACK: u32 = 0x7f;
    let any = address.bytes().all(|b| b == b'0');
    let loopback = address.len() == 8 && u32::from_str_radix(&address[6..], 16) == Ok(LOOPBACK);
    any || (loopback && port != 53)
}

fn check_addresses() -> Result<(), Error> {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    match overlapping_route(&table) {
        Some((network, device)) => Err(Error::AddressTaken { network, device }),
        None => Ok(()),
    }
}

/// A route, not ours and not the default one, into the cluster's networks.
fn overlapping_route(table: &str) -> Option<(String, String)> {
    let ours = [
        (Ipv4Addr::new(10, 96, 0, 0), 16),
        (Ipv4Addr::new(10, 244, 0, 0), 24),
        (Ipv4Addr::new(172, 30, 0, 1), 32),
    ];
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let device = *fields.first()?;
        // Little-endian on every machine this runs on.
        let network = Ipv4Addr::from(u32::from_str_radix(fields.get(1)?, 16).ok()?.swap_bytes());
        let length = u32::from_str_radix(fields.get(7)?, 16).ok()?.count_ones();
        let foreign = length > 0 && device != NODE_BRIDGE && device != POD_BRIDGE;
        let hit = ours.iter().any(|(net, len)| {
            let mask = u32::MAX.checked_shl(32 - length.min(*len)).unwrap_or(0);
            u32::from(*net) & mask == u32::from(network) & mask
        });
        (foreign && hit).then(|| (format!("{network}/{length}"), device.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_by_bit() {
        let status = "Name:\tx\nCapEff:\t0000000000201000\n";
        assert!(has_capability(status, CAP_NET_ADMIN) && has_capability(status, CAP_SYS_ADMIN));
        assert!(!has_capability(status, 0));
        assert!(!has_capability("", 0));
    }

    #[test]
    fn only_listeners_count() {
        let table = "  sl  local_address rem_address   st\n\
            0: 0100007F:0BB8 00000000:0000 0A 0\n 1: 0100007F:0BB9 0100007F:1000 01 0\n";
        assert_eq!(listeners(table, true), vec![("0100007F".to_owned(), 3000)]);
    }

    #[test]
    fn a_loopback_resolver_may_stay() {
        assert!(!conflicts("3500007F", 53));
        assert!(conflicts("00000000", 53));
        assert!(conflicts("0100007F", 2379));
        assert!(
            !conflicts("020200C0", 2379),
            "another address of the machine is no conflict"
        );
    }

    #[test]
    fn a_route_into_our_networks_is_found() {
        let head = "Iface Destination Gateway Flags RefCnt Use Metric Mask\n";
        let default = format!("{head}eth0 00000000 010200C0 0003 0 0 0 00000000\n");
        assert_eq!(overlapping_route(&default), None);
        let ten = format!("{head}vpn0 0000000A 00000000 0001 0 0 0 000000FF\n");
        assert_eq!(
            overlapping_route(&ten),
            Some(("10.0.0.0/8".into(), "vpn0".into()))
        );
        let ours = format!("{head}kidp0 0000600A 00000000 0001 0 0 0 0000FFFF\n");
        assert_eq!(overlapping_route(&ours), None);
    }
}
