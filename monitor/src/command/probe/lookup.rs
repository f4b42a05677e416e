//! From a target to addresses: its name is looked up once, and so is the interface that an IPv6 address names.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use tokio::net::lookup_host;
use tokio::time::{error::Elapsed, timeout};

use super::failure::Failure;
use super::target::Target;
use crate::terminal::words;

/// Which addresses of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Any.
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The addresses of the target, in the resolver's order, each once.
pub async fn resolve(target: &Target, family: Family, time: Duration) -> Result<Vec<SocketAddr>, Failure> {
    let Target { host, port, .. } = target;
    let found = match written(host, *port)? {
        Some(address) => vec![address],
        None => in_time(lookup_host((host.as_str(), *port)), host, time).await?.collect(),
    };
    let (family, option, wanted): (_, _, fn(&SocketAddr) -> bool) = match family {
        Family::Any => ("", "", |_| true),
        Family::V4 => ("IPv4", "-4", SocketAddr::is_ipv4),
        Family::V6 => ("IPv6", "-6", SocketAddr::is_ipv6),
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.into_iter().filter(wanted) {
        // A name that is twice in /etc/hosts is looked up twice.
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match (addresses.is_empty(), family.is_empty()) {
        (false, _) => Ok(addresses),
        (true, false) => Err(Failure::Family { host: host.clone(), family, option }),
        (true, true) => Err(Failure::Lookup { host: host.clone(), why: "it has no address".to_owned() }),
    }
}

/// The address if it is written out.
fn written(host: &str, port: u16) -> Result<Option<SocketAddr>, Failure> {
    let Some((address, zone)) = host.split_once('%') else {
        return Ok(host.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, port)));
    };
    let Ok(address) = address.parse::<Ipv6Addr>() else { return Ok(None) };
    let scope = match zone.parse() {
        Ok(number) => number,
        Err(_) => interface(zone)
            .map_err(|error| Failure::Interface { name: zone.to_owned(), why: words(&error) })?,
    };
    Ok(Some(SocketAddrV6::new(address, port, 0, scope).into()))
}

/// Its number. The C library's lookup tells of an unknown one as of an unknown host.
fn interface(name: &str) -> io::Result<u32> {
    // The kernel is asked through any socket.
    let any = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    Ok(name_to_index(any, name)?)
}

async fn in_time<T>(
    lookup: impl Future<Output = io::Result<T>>,
    host: &str,
    time: Duration,
) -> Result<T, Failure> {
    let host = || host.to_owned();
    match timeout(time, lookup).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Failure::Lookup { host: host(), why: resolver_words(&error) }),
        Err(Elapsed { .. }) => Err(Failure::LookupTimeout { host: host(), time }),
    }
}

/// Without what the standard library says before.
fn resolver_words(error: &io::Error) -> String {
    words(error).trim_start_matches("failed to lookup address information: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_zone_is_that_of_the_interface() {
        let address = |host: &str| written(host, 80).map_err(|failure| failure.to_string());
        // The loopback interface is the first one in each namespace.
        for (host, wanted) in [
            ("10.0.0.1", Some("10.0.0.1:80")),
            ("fe80::1", Some("[fe80::1]:80")),
            ("fe80::1%lo", Some("[fe80::1%1]:80")),
            ("fe80::1%7", Some("[fe80::1%7]:80")),
            ("web.example", None),
        ] {
            let wanted = wanted.map(|wanted| wanted.parse::<SocketAddr>().unwrap());
            assert_eq!(address(host), Ok(wanted), "{host}");
        }
        let error = address("fe80::1%nosuch0").unwrap_err();
        assert!(error.contains("`nosuch0`") && error.contains("ip link"), "{error}");
    }

    #[tokio::test]
    async fn a_resolver_that_says_nothing_is_not_waited_for_longer_than_for_a_connection() {
        let never = std::future::pending::<io::Result<()>>();
        let failure = in_time(never, "web.example", Duration::from_millis(1)).await.unwrap_err();
        assert!(
            failure.to_string().contains("cannot look up web.example: no answer within 1 ms"),
            "{failure}"
        );
    }
}
