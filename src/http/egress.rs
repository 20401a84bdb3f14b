//! What outgoing requests may reach. URLs come from custom resources: whoever may write a Canary must not
//! reach through us what only we can reach (metadata services, our own loopback, the API server).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What outgoing requests may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Egress {
    /// Everything: outside a cluster, and for addresses that the operator gave by a flag.
    #[default]
    Open,
    /// What [`Rules`] allow: in a cluster, for addresses from custom resources.
    Restricted(Rules),
}

/// The rules of restricted egress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Allowed whatever else is said here (`--allow-egress`).
    pub allow: Vec<IpNet>,
    /// Addresses of the API server.
    pub api_server: Vec<IpAddr>,
}

impl Egress {
    /// Whether an address may be reached. An address that carries another one inside (IPv4-mapped, NAT64,
    /// 6to4) must be allowed in both readings.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let Self::Restricted(rules) = self else {
            return true;
        };
        let inner = embedded(address);
        if rules
            .allow
            .iter()
            .any(|net| net.contains(&address) || inner.is_some_and(|v4| net.contains(&IpAddr::V4(v4))))
        {
            return true;
        }
        let forbidden = |ip: IpAddr| {
            rules.api_server.contains(&ip)
                || match ip {
                    IpAddr::V4(v4) => forbidden_v4(v4),
                    IpAddr::V6(v6) => forbidden_v6(v6),
                }
        };
        !forbidden(address) && !inner.is_some_and(|v4| forbidden(IpAddr::V4(v4)))
    }
}

fn forbidden_v4(ip: Ipv4Addr) -> bool {
    // Two clouds keep their metadata service outside of the link-local range.
    const ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    const AZURE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    // 0.0.0.0/8 is "this host"; Linux connects 0.0.0.0 to loopback.
    ip.octets()[0] == 0
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip == ALIBABA
        || ip == AZURE
}

fn forbidden_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let link_local = first & 0xffc0 == 0xfe80;
    let aws_metadata = first == 0xfd00 && second == 0x0ec2;
    let gcp_metadata = first == 0xfd20 && second == 0x00ce;
    ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || link_local || aws_metadata || gcp_metadata
}

/// Returns the IPv4 address that an IPv6 address leads to.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restricted(allow: &[&str], api: &[&str]) -> Egress {
        Egress::Restricted(Rules {
            allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
            api_server: api.iter().map(|ip| ip.parse().unwrap()).collect(),
        })
    }

    #[test]
    fn forbidden_addresses_are_forbidden_in_every_notation() {
        let egress = restricted(&[], &["10.96.0.1", "fd12::1"]);
        for ip in [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "224.0.0.1",
            "255.255.255.255",
            "10.96.0.1",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:169.254.169.254",
            "::ffff:10.96.0.1",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd12::1",
            "ff02::1",
        ] {
            assert!(!egress.permits(ip.parse().unwrap()), "{ip}");
            assert!(Egress::Open.permits(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn cluster_and_public_addresses_are_allowed() {
        let egress = restricted(&[], &["10.96.0.1"]);
        for ip in [
            "10.96.0.2",
            "192.168.1.1",
            "172.16.0.1",
            "8.8.8.8",
            "::ffff:10.1.1.1",
            "fd00::1",
            "2606:4700::1",
        ] {
            assert!(egress.permits(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn an_allowed_network_wins() {
        let egress = restricted(&["127.0.0.0/8", "fe80::/10"], &["127.0.0.1"]);
        for ip in ["127.0.0.1", "::ffff:127.0.0.1", "fe80::7"] {
            assert!(egress.permits(ip.parse().unwrap()), "{ip}");
        }
        assert!(!egress.permits("169.254.169.254".parse().unwrap()));
    }
}
