//! Where a URL may lead. A URL that a user gave must not make this program speak to its own machine or network.
//!
//! Names are resolved by [`GuardedResolver`], and the connection goes to the addresses that were checked, so that a name which changes
//! its address in between (DNS rebinding) gains nothing.

use crate::error::{Error, Kind, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use url::{Host, Url};

/// Where URLs may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Anywhere, HTTP included: the program chose the URL.
    #[default]
    Anywhere,
    /// HTTPS to public addresses only.
    Public,
}

/// Reads a URL and checks what can be seen without resolving its name.
///
/// # Errors
/// [`Kind::Invalid`] when it is no HTTP URL, carries a user or a password, or does not fit `reach`. The message does not repeat the URL.
pub fn check_url(url: &str, reach: Reach) -> Result<Url> {
    let invalid = |message: &str| Error::invalid("url", message);
    let parsed = Url::parse(url).map_err(|_| invalid("is not a URL; it begins with https:// and names a host"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(invalid("must begin with https://"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(invalid("must not hold a user or a password"));
    }
    if reach == Reach::Anywhere {
        return Ok(parsed);
    }
    if parsed.scheme() != "https" {
        return Err(invalid("must begin with https://"));
    }
    let address = match parsed.host() {
        Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
        Some(Host::Domain(_)) => None,
        None => return Err(invalid("names no host")),
    };
    if address.is_some_and(|address| !is_public(address)) {
        return Err(invalid("leads to a private or local address"));
    }
    Ok(parsed)
}

/// Whether an address is one of the public internet: not loopback, private, link-local, shared (carrier-grade NAT), multicast,
/// documentation, benchmarking or reserved, in IPv4 and in every way IPv6 has to carry an IPv4 address.
///
/// Source: the special-purpose registries of IANA (RFC 6890 and its updates).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        // Shared address space, benchmarking, protocol assignments, the old 6to4 anycast.
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (b == 18 || b == 19))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        // Mapped and translated IPv4 addresses are judged as what they carry.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(v4(high, low)),
        [0x2002, high, low, ..] => is_public_v4(v4(high, low)),
        // Teredo, documentation, benchmarking, discard-only and other special blocks inside of global unicast.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Global unicast is 2000::/3; everything else is local, reserved or multicast.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

/// Resolves names as usual and gives out public addresses only.
pub(super) struct GuardedResolver;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is put in by the client.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<SocketAddr> = found.into_iter().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(Error::new(Kind::Invalid, "the name of the host leads to no public address").into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_not_public() {
        for (address, public) in [
            ("8.8.8.8", true),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.31.0.1", false),
            ("192.168.1.1", false),
            ("169.254.169.254", false),
            ("100.64.0.1", false),
            ("100.128.0.1", true),
            ("0.0.0.0", false),
            ("198.18.0.1", false),
            ("192.0.0.8", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:8.8.8.8", true),
            ("::127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b::808:808", true),
            ("2002:7f00:1::", false),
            ("2001:db8::1", false),
            ("2001::1", false),
            ("fe80::1", false),
            ("fc00::1", false),
            ("ff02::1", false),
            ("2606:4700::1111", true),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[test]
    fn urls_of_users_are_checked_before_anything_is_resolved() {
        for (url, reach, fits) in [
            ("https://example.com/hook", Reach::Public, true),
            ("http://example.com/hook", Reach::Public, false),
            ("http://127.0.0.1:9/hook", Reach::Anywhere, true),
            ("https://127.0.0.1/", Reach::Public, false),
            ("https://2130706433/", Reach::Public, false),
            ("https://0x7f.1/", Reach::Public, false),
            ("https://[::1]/", Reach::Public, false),
            ("https://[::ffff:10.0.0.1]/", Reach::Public, false),
            ("https://user:secret@example.com/", Reach::Public, false),
            ("ftp://example.com/", Reach::Anywhere, false),
            ("not a url", Reach::Anywhere, false),
        ] {
            let found = check_url(url, reach);
            assert_eq!(found.is_ok(), fits, "{url}");
            if let Err(error) = found {
                assert!(!error.to_string().contains("secret"), "{error}");
            }
        }
    }
}
