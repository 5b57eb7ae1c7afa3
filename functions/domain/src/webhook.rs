//! Webhooks: how a delivery is signed, when it is retried, and which addresses it may go to.
//!
//! Signatures and headers are those of Standard Webhooks
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::notice::{Kind, Notice};
use crate::time::UnixMillis;

/// Prefix of a secret in the form that receivers get.
const SECRET_PREFIX: &str = "whsec_";
/// Length of a new secret in bytes.
pub const SECRET_BYTES: usize = 32;
/// Length of a readable secret in bytes: what Standard Webhooks allows.
const READABLE_BYTES: RangeInclusive<usize> = 24..=64;
/// Length of a first secret, which Secrets Manager generates: random letters and digits, which
/// Base64 decodes to 33 bytes.
pub const FIRST_SECRET_CHARACTERS: u32 = 44;
/// The member of a stored value that holds the current secret.
pub const CURRENT_SECRET: &str = "current";
/// Block size of HMAC-SHA256 in bytes (RFC 2104).
const BLOCK: usize = 64;
/// Seconds between tries: more than 24 hours in total.
const PAUSES: [u32; 9] = [5, 60, 300, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200];

/// A secret that signs deliveries. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// The secret made of random bytes.
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(random.into())
    }

    /// Parses the form that receivers get; a generated secret has no prefix.
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
        let bytes = BASE64_STANDARD.decode(text).ok()?;
        READABLE_BYTES.contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The secret in the form that receivers get.
    pub fn reveal(&self) -> String {
        format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(&self.0))
    }

    /// The signature of a delivery.
    pub fn sign(&self, id: &str, at: UnixMillis, body: &str) -> String {
        let signed = format!("{id}.{}.{body}", at.seconds());
        let signature = hmac_sha256(&self.0, signed.as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(signature))
    }
}

/// The header fields of a delivery. With several secrets, as during a rotation, a receiver accepts
/// any of the signatures.
pub fn headers(
    secrets: &[Secret],
    id: &str,
    at: UnixMillis,
    body: &str,
) -> [(&'static str, String); 3] {
    let signatures = secrets.iter().map(|secret| secret.sign(id, at, body));
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.seconds().to_string()),
        (
            "webhook-signature",
            signatures.collect::<Vec<_>>().join(" "),
        ),
    ]
}

/// Seconds to wait after the `failures`-th failure before the delivery is retried; `None` once it
/// is given up.
pub fn pause(failures: u32) -> Option<u32> {
    let place = usize::try_from(failures.checked_sub(1)?).ok()?;
    PAUSES.get(place).copied()
}

/// The value of a secret in Secrets Manager has another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `{{\"current\": \"whsec_…\"}}`, with or without `previous` and `previousUntil`")]
pub struct UnreadableSecrets;

/// The value of a secret in Secrets Manager.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredSecrets {
    current: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_until: Option<String>,
}

/// The secrets of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    current: Secret,
    /// The previous secret, and until when it signs too.
    previous: Option<(Secret, UnixMillis)>,
}

impl Secrets {
    /// Parses the value of a secret in Secrets Manager. The error contains no part of the value.
    pub fn parse(value: &str) -> Result<Self, UnreadableSecrets> {
        let stored: StoredSecrets = serde_json::from_str(value).map_err(|_| UnreadableSecrets)?;
        let secret = |text: &str| Secret::parse(text).ok_or(UnreadableSecrets);
        let previous = match (stored.previous, stored.previous_until) {
            (Some(previous), Some(until)) => {
                let until = until.parse().map_err(|_| UnreadableSecrets)?;
                Some((secret(&previous)?, until))
            }
            (None, None) => None,
            _ => return Err(UnreadableSecrets),
        };
        Ok(Self {
            current: secret(&stored.current)?,
            previous,
        })
    }

    /// The value as Secrets Manager stores it.
    pub fn to_json(&self) -> String {
        let previous = self.previous.as_ref();
        let stored = StoredSecrets {
            current: self.current.reveal(),
            previous: previous.map(|(secret, _)| secret.reveal()),
            previous_until: previous.map(|(_, until)| until.to_string()),
        };
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// The current secret.
    pub const fn current(&self) -> &Secret {
        &self.current
    }

    /// Replaces the current secret; the previous one keeps signing until `until`.
    #[must_use]
    pub fn rotated(&self, new: Secret, until: UnixMillis) -> Self {
        Self {
            current: new,
            previous: Some((self.current.clone(), until)),
        }
    }

    /// The secrets that sign at `now`, newest first.
    pub fn good_at(&self, now: UnixMillis) -> Vec<Secret> {
        let previous = self.previous.iter().filter(|(_, until)| now < *until);
        let previous = previous.map(|(secret, _)| secret.clone());
        std::iter::once(self.current.clone())
            .chain(previous)
            .collect()
    }
}

/// The format of the posted body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// The event as `CloudEvents` JSON.
    #[default]
    CloudEvents,
    /// A text for chat systems such as Slack.
    Slack,
}

impl Format {
    /// The body's media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::CloudEvents => "application/cloudevents+json",
            Self::Slack => "application/json",
        }
    }

    /// The body for a notice. `source` is the one that usage events carry.
    pub fn body(self, notice: &Notice, source: &str) -> String {
        match self {
            Self::CloudEvents => notice.cloud_event(source),
            Self::Slack => serde_json::json!({ "text": notice.text() }).to_string(),
        }
    }
}

/// A destination of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The name by which people refer to it.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// The format of the posted body.
    pub format: Format,
    /// Whether it may have a private address, and no certificate.
    pub allow_private: bool,
    /// The kinds of events that it receives; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<Kind>>,
}

impl Endpoint {
    /// Whether the endpoint receives events of a kind.
    pub fn receives(&self, kind: Kind) -> bool {
        self.events
            .as_ref()
            .is_none_or(|kinds| kinds.contains(&kind))
    }
}

/// The endpoints of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Endpoints(pub Vec<Endpoint>);

/// A message of the notifier's queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Id of the event: an alert's, a bill's or a report's.
    pub alert: String,
    /// The target endpoint; if absent, everybody who receives such events.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// How often the delivery has failed.
    #[serde(default)]
    pub failures: u32,
    /// When it is due.
    #[serde(default)]
    pub due: UnixMillis,
}

impl Message {
    /// The message as the queue carries it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The progress of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeliveryStatus {
    /// It failed and will be retried.
    Waiting,
    /// The endpoint accepted it.
    Delivered,
    /// It failed for more than a day.
    GivenUp,
}

/// A delivery of an alert to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its progress.
    pub status: DeliveryStatus,
    /// How often it failed.
    pub failures: u32,
    /// Why the last try failed.
    pub error: Option<String>,
    /// When it was last tried.
    pub at: UnixMillis,
}

impl Delivery {
    /// A delivery that was tried at `at`.
    pub const fn new(
        status: DeliveryStatus,
        failures: u32,
        error: Option<String>,
        at: UnixMillis,
    ) -> Self {
        Self {
            status,
            failures,
            error,
            at,
        }
    }

    /// Whether a message asks for something already done: the delivery succeeded, or this try was
    /// made. A redrive starts again.
    pub fn outdates(&self, message: &Message) -> bool {
        match self.status {
            DeliveryStatus::Delivered => true,
            DeliveryStatus::Waiting => message.failures < self.failures,
            DeliveryStatus::GivenUp => message.failures != 0,
        }
    }
}

/// HMAC-SHA256 (RFC 2104) with a key of at most a block.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let padded = |with: u8| {
        let mut block = [with; BLOCK];
        for (to, from) in block.iter_mut().zip(key) {
            *to ^= from;
        }
        block
    };
    let inner = Sha256::new()
        .chain_update(padded(0x36))
        .chain_update(message)
        .finalize();
    let outer = Sha256::new().chain_update(padded(0x5c)).chain_update(inner);
    outer.finalize().into()
}

/// Whether an address belongs to the public internet: no private, local, shared, reserved or
/// documentation network (IANA's special-purpose address registries), and none that is translated
/// into one.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_protocol = a == 192 && b == 0 && c == 0;
    let is_relay = a == 192 && b == 88 && c == 99;
    let is_benchmark = a == 198 && (b == 18 || b == 19);
    !(a == 0
        || a >= 224
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || is_shared
        || is_protocol
        || is_relay
        || is_benchmark)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, middle @ .., high, low] = address.segments();
    let embedded = |high: u16, low: u16| {
        is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    if let Some(address) = address.to_ipv4_mapped() {
        return is_public_v4(address);
    }
    match (first, second) {
        // NAT64, and 6to4.
        (0x64, 0xff9b) if third == 0 && middle == [0; 3] => embedded(high, low),
        (0x2002, _) => embedded(second, third),
        // Protocol assignments such as Teredo, and documentation.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff) => false,
        // The part of global unicast that is in use.
        (0x2000..=0x3fff, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let hex = |bytes: [u8; 32]| bytes.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(
            hex(hmac_sha256(&[0x0b; 20], b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_delivery_carries_a_signature_for_each_secret() {
        let secrets = [Secret::new([1; 32]), Secret::new([2; 32])];
        let at = UnixMillis(1_795_363_445_678);
        let [id, timestamp, signature] = headers(&secrets, "alert_1", at, "{}");
        assert_eq!(id, ("webhook-id", "alert_1".to_owned()));
        assert_eq!(timestamp, ("webhook-timestamp", "1795363445".to_owned()));
        let signatures: Vec<&str> = signature.1.split(' ').collect();
        assert_eq!(signatures.len(), 2);
        assert!(
            signatures
                .iter()
                .all(|signature| signature.starts_with("v1,"))
        );
        assert_ne!(signatures[0], signatures[1]);
        assert!(secrets[0].reveal().starts_with("whsec_AQEB"));
        assert_eq!(format!("{:?}", secrets[0]), "Secret(…)");
    }

    #[test]
    fn a_generated_secret_is_revealed_as_it_is_stored() {
        let generated = "a".repeat(FIRST_SECRET_CHARACTERS as usize);
        let value = serde_json::json!({ CURRENT_SECRET: generated }).to_string();
        let secrets = Secrets::parse(&value).unwrap();
        assert_eq!(secrets.current().reveal(), format!("whsec_{generated}"));
        assert_eq!(Secrets::parse(&secrets.to_json()), Ok(secrets));
    }

    #[test]
    fn while_a_secret_is_replaced_both_sign() {
        let until = UnixMillis(1_795_363_446_000);
        let [first, second] = [1, 2].map(|byte| Secret::new([byte; SECRET_BYTES]));
        let value = format!(r#"{{"current":"{}"}}"#, first.reveal());
        let rotated = Secrets::parse(&value)
            .unwrap()
            .rotated(second.clone(), until);
        assert_eq!(Secrets::parse(&rotated.to_json()), Ok(rotated.clone()));
        let before = rotated.good_at(until.plus_millis(-1));
        assert_eq!(before, [second.clone(), first]);
        assert_eq!(rotated.good_at(until), [second]);
    }

    #[test]
    fn an_unreadable_value_is_refused_and_not_repeated() {
        let good = Secret::new([1; SECRET_BYTES]).reveal();
        for value in [
            String::new(),
            "{}".to_owned(),
            good.clone(),
            r#"{"current":"whsec_"}"#.to_owned(),
            r#"{"current":"whsec_c2hvcnQ="}"#.to_owned(),
            r#"{"current":"not Base64: not Base64: not Base64"}"#.to_owned(),
            format!(r#"{{"current":"{good}","previous":"{good}"}}"#),
            format!(r#"{{"current":"{good}","previous":"{good}","previousUntil":"soon"}}"#),
        ] {
            let error = Secrets::parse(&value).unwrap_err().to_string();
            assert!(!error.contains(&good), "{error}");
        }
    }

    #[test]
    fn deliveries_are_tried_for_more_than_a_day() {
        let pauses: Vec<u32> = (1..).map_while(pause).collect();
        assert!(pauses.iter().sum::<u32>() > 24 * 3_600, "{pauses:?}");
        assert!(pauses.is_sorted());
        assert_eq!(pause(0), None);
        assert_eq!(pause(u32::MAX), None);
    }

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for private in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "100::1",
            "3fff::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "64:ff9b::101:101",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
