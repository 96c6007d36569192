//! `host:port`, as `bootstrap.servers` has it.

use std::fmt;
use std::net::Ipv6Addr;

/// Where a broker listens. The host is a name or an IP address and not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Address {
    /// Without brackets, also if it is an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// A host, without brackets, and a port.
    pub(crate) fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Reads a comma-separated list in which blanks, empty places (a trailing comma) and repetitions do not count.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let mut addresses = Vec::new();
        for place in text.split(',').map(str::trim).filter(|place| !place.is_empty()) {
            let address = Self::parse(place)?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err("names no broker".to_owned()) } else { Ok(addresses) }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if let Some((scheme, rest)) = text.split_once("://") {
            // What follows may hold a password, as in a URL copied from elsewhere.
            let rest = if rest.contains(['@', '/', '?']) { "host:port" } else { rest };
            return Err(format!(
                "a URL is not an address of a broker, write {rest} without {}://",
                scheme.escape_debug()
            ));
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| format!("{text:?} lacks the closing bracket"))?;
                let port = port.strip_prefix(':').ok_or_else(|| format!("no port after {text:?}"))?;
                check_ipv6(host)?;
                (host, port)
            }
            None => {
                let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("no port after {text:?}"))?;
                if host.contains(':') {
                    return Err(format!("{text:?} has several colons, an IPv6 address needs brackets: [::1]:9092"));
                }
                check_name(host)?;
                (host, port)
            }
        };
        match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Self::new(host, port)),
            _ => Err(format!("{port:?} is not a port, ports are 1 to 65535")),
        }
    }
}

fn check_ipv6(host: &str) -> Result<(), String> {
    let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
    let zone_fits = !zone.is_empty() && zone.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if address.parse::<Ipv6Addr>().is_err() || !zone_fits {
        return Err(format!("{host:?} is not an IPv6 address"));
    }
    Ok(())
}

fn check_name(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("no host before the port".to_owned());
    }
    if host.len() > 255 {
        return Err(format!("a host name of {} characters, at most 255 are possible", host.len()));
    }
    match host.chars().find(|&c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))) {
        Some(character) => Err(format!("{character:?} is not possible in a host name")),
        None => Ok(()),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        let list = Address::parse_list(text)?;
        Ok(list.iter().map(Address::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn lists_of_hosts_and_ports() {
        assert_eq!(shown("localhost:9092").unwrap(), "localhost:9092");
        assert_eq!(shown(" a:1 , b.example.:65535,, a:1,").unwrap(), "a:1 b.example.:65535");
        assert_eq!(shown("[::1]:9092,127.0.0.1:1").unwrap(), "[::1]:9092 127.0.0.1:1");
        assert_eq!(shown("[fe80::1%eth0]:9092").unwrap(), "[fe80::1%eth0]:9092");
        assert_eq!(Address::parse_list("[::1]:9092").unwrap()[0].host, "::1");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("", "names no broker"),
            (" , ", "names no broker"),
            ("localhost", "no port after \"localhost\""),
            ("localhost:", "\"\" is not a port"),
            ("localhost:99999", "\"99999\" is not a port, ports are 1 to 65535"),
            ("localhost:0", "\"0\" is not a port"),
            ("localhost:-1", "\"-1\" is not a port"),
            ("a:9092,b", "no port after \"b\""),
            (":9092", "no host before the port"),
            ("::1:9092", "an IPv6 address needs brackets"),
            ("[::1]", "no port after"),
            ("[::1:9092", "lacks the closing bracket"),
            ("[localhost]:9092", "\"localhost\" is not an IPv6 address"),
            ("[::1%]:9092", "is not an IPv6 address"),
            ("a b:9092", "' ' is not possible in a host name"),
            ("a/b:9092", "'/' is not possible in a host name"),
            ("ü:9092", "'ü' is not possible in a host name"),
            ("PLAINTEXT://localhost:9092", "write localhost:9092 without PLAINTEXT://"),
        ] {
            let error = shown(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let error = shown("kafka://me:hunter2@localhost:9092").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
