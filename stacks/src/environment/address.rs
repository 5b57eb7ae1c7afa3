//! HTTP addresses, and what each kind may contain.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer};

use super::text::{Text, texts};

texts! {
    /// An `http` or `https` URL of a server, without query, fragment and credentials.
    Address: address, "^https?://[^\\s/?#@]+(/[^\\s?#]*)?$".to_owned();
    /// The URL of an API to which the gateway forwards: also without braces and dollar signs, which
    /// the gateway reads as parameters, and on a port that it supports.
    UpstreamAddress: upstream, "^https?://[^\\s/?#@{}$]+(/[^\\s?#{}$]*)?$".to_owned();
    /// The URL of a key set: `https`, or `http` on this machine.
    KeySetAddress: key_set, "^(https://|http://(localhost|127\\.|\\[::1\\]))[^\\s@#]+$".to_owned();
    /// An endpoint of an issuer to which browsers go: `https`, or `http` on this machine.
    IssuerAddress: issuer, "^(https://|http://(localhost|127\\.|\\[::1\\]))[^\\s@#]+$".to_owned();
}

impl Address {
    /// Whether it is on the machine that reads it.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(self.as_str())
    }
}

impl UpstreamAddress {
    /// Whether it is on the machine that reads it.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(self.as_str())
    }
}

impl IssuerAddress {
    /// Whether it is on the machine that reads it.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(self.as_str())
    }
}

impl KeySetAddress {
    /// Whether it is on the machine that reads it.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(self.as_str())
    }
}

/// The ports that a REST API supports (API Gateway Developer Guide, "HTTP integrations for REST
/// APIs").
fn is_reached_by_gateway(port: u16) -> bool {
    port == 80 || port == 443 || port >= 1024
}

/// An address in its parts (RFC 3986).
#[derive(Debug)]
struct Parts<'a> {
    secure: bool,
    credentials: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (secure, rest) = match text.split_once("://")? {
            ("https", rest) => (true, rest),
            ("http", rest) => (false, rest),
            _ => return None,
        };
        let (rest, fragment) = cut(rest, '#');
        let (rest, query) = cut(rest, '?');
        let path_at = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, authority),
        };
        let (host, port) = host_and_port(authority);
        let known = is_host(host)
            && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
            && text.chars().all(|c| c.is_ascii_graphic());
        known.then_some(Self {
            secure,
            credentials,
            host,
            port,
            path,
            query,
            fragment,
        })
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host == "[::1]" || self.host.starts_with("127.")
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_host(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if let Some(address) = address {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

fn is_loopback(text: &str) -> bool {
    Parts::of(text).is_some_and(|parts| parts.is_loopback())
}

fn parts(text: &str) -> Result<Parts<'_>, String> {
    Parts::of(text)
        .ok_or_else(|| format!("`{text}` is not an address: `https://` or `http://`, then a host"))
}

/// Refuses the parts that a URL must not have if it is only called and never shown. Messages do not
/// repeat credentials.
fn bare(text: &str, queries: bool) -> Result<Parts<'_>, String> {
    let parts = parts(text)?;
    if parts.credentials.is_some() {
        return Err(format!(
            "the address of `{}` holds credentials, which templates and logs would show; leave them out",
            parts.host
        ));
    }
    if parts.fragment.is_some() {
        return Err(format!(
            "`{text}` holds a fragment (`#…`), which no server ever gets"
        ));
    }
    if parts.query.is_some() && !queries {
        return Err(format!(
            "`{text}` holds a query (`?…`), in which paths cannot be appended; leave it out"
        ));
    }
    Ok(parts)
}

fn address(text: &str) -> Result<(), String> {
    bare(text, false).map(|_| ())
}

fn upstream(text: &str) -> Result<(), String> {
    let parts = bare(text, false)?;
    if parts.path.contains(['{', '}', '$']) {
        return Err(format!(
            "`{text}` holds one of `{{`, `}}`, `$`, which the gateway reads as parameters"
        ));
    }
    let port = parts.port.and_then(|port| port.parse().ok());
    if port.is_some_and(|port| !is_reached_by_gateway(port)) {
        return Err(format!(
            "`{text}` is on a port that the gateway does not connect to: 80, 443 and 1024 to 65535"
        ));
    }
    Ok(())
}

fn key_set(text: &str) -> Result<(), String> {
    secure(text, "anyone who answers in its place could sign tokens")
}

fn issuer(text: &str) -> Result<(), String> {
    secure(text, "anyone on the way could sign in as its users")
}

fn secure(text: &str, danger: &str) -> Result<(), String> {
    let parts = bare(text, true)?;
    if parts.secure || parts.is_loopback() {
        return Ok(());
    }
    Err(format!("`{text}` is not `https`: {danger}"))
}
