//! Authorities: what `Host`, an absolute-form target and an origin name.

use alloc::string::String;
use core::net::{Ipv4Addr, Ipv6Addr};

/// A host with an optional port, as `Host` carries it (RFC 9110 §7.2, RFC 3986 §3.2).
///
/// Only well-formed ones exist: a host of at least one byte that is a registered name, an IPv4 address or
/// an IPv6 address in brackets; a port, if there is one, of at most 65 535. No user information.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authority<'a> {
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads an authority; `None` if it is malformed.
    ///
    /// An empty port (`h:`) is the same as none (RFC 3986 §3.2.3).
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let host_end = if text.starts_with('[') {
            text.find(']').map_or(text.len(), |bracket| bracket + 1)
        } else {
            text.find(':').unwrap_or(text.len())
        };
        let (host, rest) = text.split_at(host_end);
        let port = match rest.strip_prefix(':') {
            Some("") => None,
            // `u16::from_str` would take a sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None if rest.is_empty() => None,
            _ => return None,
        };
        is_host(host).then_some(Self { host, port })
    }

    /// The port, if one is named.
    pub(super) const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether both name one server, if `default_port` is meant where none is named.
    pub(super) fn is_same(&self, other: &Authority<'_>, default_port: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }

    /// `localhost`, `*.localhost` (RFC 6761 §6.3), 127.0.0.0/8 and `[::1]`.
    fn is_loopback(&self) -> bool {
        if let Ok(address) = self.host.parse::<Ipv4Addr>() {
            return address.is_loopback();
        }
        if let Some(address) = bracketed(self.host) {
            return address.is_loopback();
        }
        match self.host.len().checked_sub(LOCALHOST.len()) {
            Some(0) => self.host.eq_ignore_ascii_case(LOCALHOST),
            // At least one byte before the dot.
            Some(before @ 2..) => self
                .host
                .split_at_checked(before - 1)
                .is_some_and(|(_, end)| {
                    end.strip_prefix('.')
                        .is_some_and(|end| end.eq_ignore_ascii_case(LOCALHOST))
                }),
            _ => false,
        }
    }
}

/// Whether a connection whose local address is loopback may name this host (WIRE §2, DNS rebinding).
///
/// `localhost`, `*.localhost`, `127.0.0.0/8` and `[::1]` may, with any port, and what `allowed_hosts` adds:
/// an entry without a port allows the host with any port, an entry with a port only with that one. Case does
/// not matter; an entry that is no authority allows nothing. A malformed `host` is never allowed.
///
/// Call it only if the local address of the connection is loopback; [`Request::check_host`] does.
///
/// ```
/// use sse_state::http::loopback_host_allowed;
///
/// assert!(loopback_host_allowed("localhost:8080", &[]));
/// assert!(!loopback_host_allowed("rebound.example", &[]));
/// assert!(loopback_host_allowed("dev.example:3000", &["dev.example".to_string()]));
/// ```
///
/// [`Request::check_host`]: super::Request::check_host
#[must_use]
pub fn loopback_host_allowed(host: &str, allowed_hosts: &[String]) -> bool {
    let Some(named) = Authority::parse(host) else {
        return false;
    };
    named.is_loopback()
        || allowed_hosts
            .iter()
            .filter_map(|entry| Authority::parse(entry))
            .any(|entry| {
                entry.host.eq_ignore_ascii_case(named.host)
                    && (entry.port.is_none() || entry.port == named.port)
            })
}

/// RFC 3986 §3.2.2 without IPvFuture, which nobody speaks, and without zone identifiers.
fn is_host(host: &str) -> bool {
    if host.starts_with('[') {
        return bracketed(host).is_some();
    }
    let mut bytes = host.bytes();
    let mut triplets_ok = true;
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit());
                triplets_ok &= digit() && digit();
            }
            b'-' | b'.' | b'_' | b'~' => {}
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => {}
            _ if byte.is_ascii_alphanumeric() => {}
            _ => return false,
        }
    }
    triplets_ok && !host.is_empty()
}

fn bracketed(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

const LOCALHOST: &str = "localhost";
