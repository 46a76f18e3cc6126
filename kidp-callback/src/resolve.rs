//! Name resolution of callback URLs: names that lead to where no callback may go are refused.
//!
//! The allow list ([`crate::UrlPolicy`]) names hosts, and whoever rules a host's name in the DNS decides what it leads
//! to, at the moment of each request. So addresses are looked at when a connection is made, with nothing in between that
//! could change: a name that leads to the machine itself, to a neighbour on the link or to a cloud's metadata service is
//! as good as unknown. An address that the allow list names by itself is the administrator's own word, and is not
//! resolved; neither is `localhost` kept from being this machine.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Metadata services of clouds outside the link-local range: Alibaba, Oracle; AWS and Google over IPv6.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

type Lookup =
    dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync;

/// A resolver that gives away only addresses that callbacks may go to.
#[derive(Clone)]
pub struct GuardedResolver(Arc<Lookup>);

impl GuardedResolver {
    /// The system's resolver, guarded.
    pub fn system() -> Self {
        Self::over(|name| async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    }

    /// Another resolver, guarded.
    pub fn over<F>(lookup: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        Self(Arc::new(move |name| Box::pin(lookup(name))))
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (name, lookup) = (name.as_str().to_owned(), self.0.clone());
        Box::pin(async move {
            let mut found = lookup(name.clone()).await?;
            found.retain(|address| may_go(&name, address.ip()));
            if found.is_empty() {
                let say = "the name leads to no address that callbacks may go to";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, say).into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether a callback may go to `address`, which `name` leads to.
fn may_go(name: &str, address: IpAddr) -> bool {
    let address = unwrapped(address);
    if address.is_loopback() {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        return name == "localhost";
    }
    let local = match address {
        IpAddr::V4(v4) => {
            v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0 || METADATA_V4.contains(&v4)
        }
        IpAddr::V6(v6) => v6.is_unicast_link_local() || METADATA_V6.contains(&v6),
    };
    !(local || address.is_unspecified() || address.is_multicast())
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, or behind the well-known prefix of NAT64.
fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let [a, b, c, d] = [12, 13, 14, 15].map(|i| v6.octets()[i]);
    let embedded = Ipv4Addr::new(a, b, c, d);
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => embedded.into(),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => embedded.into(),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use proptest::prelude::*;
    use wiremock::matchers::method;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    #[test]
    fn the_machine_its_link_and_metadata_are_out_of_reach() {
        for bad in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "192.0.0.192",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "::127.0.0.1",
        ] {
            assert!(!may_go("operator.example", bad.parse().unwrap()), "{bad}");
        }
        for good in [
            "10.0.0.7",
            "192.168.1.1",
            "172.16.0.1",
            "198.51.100.7",
            "fd00::7",
            "2001:db8::1",
        ] {
            assert!(may_go("operator.example", good.parse().unwrap()), "{good}");
        }
        assert!(may_go("localhost", "127.0.0.1".parse().unwrap()));
        assert!(may_go("LOCALHOST.", "::1".parse().unwrap()));
        assert!(!may_go("localhost", "169.254.169.254".parse().unwrap()));
        assert!(!may_go("localhost.evil.example", "127.0.0.1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn no_way_of_writing_an_ipv4_address_gets_around(octets in any::<[u8; 4]>()) {
            let v4 = Ipv4Addr::from(octets);
            let plain = may_go("x", v4.into());
            prop_assert_eq!(may_go("x", v4.to_ipv6_mapped().into()), plain);
            let [a, b, c, d] = octets.map(u16::from);
            let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a << 8 | b, c << 8 | d);
            prop_assert_eq!(may_go("x", nat64.into()), plain);
        }
    }

    #[tokio::test]
    async fn a_name_that_turns_to_the_machine_itself_is_not_followed() {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(200))
            .mount(&server)
            .await;
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let rebinding = GuardedResolver::over(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok(vec!["127.0.0.1:0".parse().unwrap()]) }
        });
        let client = crate::http::guarded(Duration::from_secs(2), rebinding, None).unwrap();
        let post = async |host: &str| {
            let url = format!("http://{host}:{}/", server.address().port());
            client
                .post(url)
                .send()
                .await
                .map(|answer| answer.status().as_u16())
        };
        assert!(post("operator.example").await.unwrap_err().is_connect());
        assert_eq!(server.received_requests().await.unwrap().len(), 0);
        assert_eq!(asked.load(Ordering::Relaxed), 1, "looked up, and refused");
        assert_eq!(post("localhost").await.unwrap(), 200);
    }
}
