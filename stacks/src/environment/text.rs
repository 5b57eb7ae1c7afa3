//! Validated values: regions, accounts, prefixes, addresses, bounded numbers.

use std::borrow::Cow;
use std::fmt;

use domain::route::{OTHER, Route};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::region::REGIONS;

/// A text that passed its check. The schema contains the same rule as a pattern.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $check:path, $pattern:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
            pub struct $name(String);

            impl $name {
                /// The text.
                pub fn as_str(&self) -> &str {
                    &self.0
                }

                #[allow(dead_code, reason = "only some are parsed apart from a file")]
                pub(super) fn parse(text: &str) -> Result<Self, String> {
                    $check(text).map(|()| Self(text.to_owned()))
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_str(Text($check)).map(Self)
                }
            }

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    let pattern: String = $pattern;
                    json_schema!({ "type": "string", "pattern": pattern })
                }
            }
        )*
    };
}

pub(super) use texts;

texts! {
    /// An AWS account: twelve digits, quoted, because YAML would read them as a number.
    Account: account, "^[0-9]{12}$".to_owned();
    /// An AWS region.
    Region: region, format!("^({})$", REGIONS.join("|"));
    /// Lower-case letters, digits and hyphens, at most 20, a letter first.
    ResourcePrefix: resource_prefix, "^[a-z][a-z0-9-]{0,19}$".to_owned();
    /// Letters, digits and hyphens, at most 20, a letter first.
    StackPrefix: stack_prefix, "^[A-Za-z][A-Za-z0-9-]{0,19}$".to_owned();
    /// Lower-case letters, digits and hyphens, at most 40, a letter first.
    WebhookName: webhook_name, "^[a-z][a-z0-9-]{0,39}$".to_owned();
    /// An email address.
    Email: email, "^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$".to_owned();
    /// A time zone of the IANA database: `Asia/Kolkata`.
    TimeZone: time_zone, "^[A-Za-z]".to_owned();
    /// The key of a tag: 1 to 128 letters, digits, spaces and `_ . : / = + - @`, not beginning
    /// with `aws:`.
    TagKey: tag_key, format!("^(?![aA][wW][sS]:){TAG}{{1,128}}$");
    /// The value of a tag: 1 to 256 letters, digits, spaces and `_ . : / = + - @`.
    TagValue: tag_value, format!("^{TAG}{{1,256}}$");
    /// The ARN of a KMS key: `arn:aws:kms:ap-south-1:123456789012:key/…`; an alias does not
    /// identify a key in a policy.
    KeyArn: key_arn, "^arn:aws(-cn|-us-gov)?:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$".to_owned();
    /// A security policy of API Gateway: `TLS_1_2`, or one of those that begin with
    /// `SecurityPolicy_`.
    TlsPolicy: tls_policy, "^(TLS_1_2|SecurityPolicy_[A-Za-z0-9_]+)$".to_owned();
    /// A text of at least one character that is not a space.
    Words: words, "\\S".to_owned();
    /// A custom header: lower-case letters, digits and hyphens, such as `x-usage-user`.
    HeaderName: header_name, "^x-[a-z0-9-]{1,60}$".to_owned();
    /// Any header's name in lower case.
    FieldName: field_name, "^[a-z0-9-]{1,64}$".to_owned();
    /// The name of a secret in Secrets Manager.
    SecretName: secret_name, "^[A-Za-z0-9/_+=.@-]{1,512}$".to_owned();
    /// A key of a secret that is a JSON object.
    SecretKey: secret_key, "^[A-Za-z0-9/_+=.@-]{1,512}$".to_owned();
    /// The origin of a page: scheme, host and port, or `*`.
    PageOrigin: page_origin, "^(\\*|https?://[^\\s/?#'\"]+)$".to_owned();
    /// The key of an entry in `units`: a route, such as `GET /search`, or `other`.
    Weighed: weighed, "^(other|(ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) /[^ ]*)$".to_owned();
    /// The id of an API: lower-case letters and digits.
    ApiId: api_id, "^[a-z0-9]{1,32}$".to_owned();
    /// Name of a gateway's stage (<https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages.html>).
    StageName: stage_name, "^([a-zA-Z0-9_-]{1,128}|\\$default)$".to_owned();
    /// A method that pages may use.
    CorsMethod: cors_method, format!("^({})$", CORS_METHODS.join("|"));
}

/// The methods of the gateway except `OPTIONS`, which browsers use for preflights.
const CORS_METHODS: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];

impl CorsMethod {
    pub(super) fn all() -> Vec<Self> {
        CORS_METHODS.map(|method| Self(method.to_owned())).into()
    }
}

impl HeaderName {
    pub(super) fn fixed(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

impl FieldName {
    pub(super) fn fixed(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

/// The characters of tags: those that every tagged service accepts (AWS General Reference, "Tag
/// naming limits and requirements").
const TAG: &str = "[\\p{L}\\p{N} _.:/=+@-]";

impl Default for Region {
    fn default() -> Self {
        Self("ap-south-1".to_owned())
    }
}

impl Default for ResourcePrefix {
    fn default() -> Self {
        Self("complical".to_owned())
    }
}

impl Default for StackPrefix {
    fn default() -> Self {
        Self("CompliCal".to_owned())
    }
}

/// The valid names of environments, and so of their files.
pub(super) fn environment_name(name: &str) -> Result<(), String> {
    let fits = (1..=16).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    fits.then_some(()).ok_or_else(|| {
        format!(
            "`{name}` cannot name an environment: 1 to 16 lower-case letters, digits and hyphens, \
             a letter first"
        )
    })
}

fn account(text: &str) -> Result<(), String> {
    (text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()))
        .then_some(())
        .ok_or_else(|| format!("`{text}` is not an AWS account: twelve digits in quotes"))
}

fn region(text: &str) -> Result<(), String> {
    if REGIONS.contains(&text) {
        return Ok(());
    }
    Err(format!(
        "`{text}` is not an AWS region, such as `ap-south-1`: expected one of {}",
        REGIONS.join(", ")
    ))
}

fn resource_prefix(text: &str) -> Result<(), String> {
    prefix(
        text,
        text.chars().all(|c| !c.is_ascii_uppercase()),
        "lower-case letters",
    )
}

fn stack_prefix(text: &str) -> Result<(), String> {
    prefix(text, true, "letters")
}

fn prefix(text: &str, cased: bool, letters: &str) -> Result<(), String> {
    // Otherwise namespaces and tags with the prefix would begin like AWS's own.
    let fits = cased
        && !text.eq_ignore_ascii_case("aws")
        && (1..=20).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    fits.then_some(()).ok_or_else(|| {
        format!(
            "`{text}` cannot be a prefix: 1 to 20 {letters}, digits and hyphens, a letter first, and \
             not `aws`"
        )
    })
}

fn webhook_name(text: &str) -> Result<(), String> {
    let fits = (1..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    fits.then_some(()).ok_or_else(|| {
        format!(
            "`{text}` cannot name a webhook: 1 to 40 lower-case letters, digits and hyphens, a letter first"
        )
    })
}

fn header_name(text: &str) -> Result<(), String> {
    let own =
        text.starts_with("x-") && !text.starts_with("x-amz") && !text.starts_with("x-forwarded");
    (own && text != "x-api-key" && is_field_name(text))
        .then_some(())
        .ok_or_else(|| {
            format!(
                "`{text}` cannot be a header of the gateway's: `x-` and 1 to 60 lower-case letters, \
                 digits and hyphens, and none of `x-api-key`, `x-amz…`, `x-forwarded…`"
            )
        })
}

pub(super) fn field_name(text: &str) -> Result<(), String> {
    is_field_name(text).then_some(()).ok_or_else(|| {
        format!("`{text}` is not a header's name: 1 to 64 lower-case letters, digits and hyphens")
    })
}

fn is_field_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

fn secret_name(text: &str) -> Result<(), String> {
    is_secret(text).then_some(()).ok_or_else(|| {
        format!(
            "`{text}` is not the name of a secret: 1 to 512 letters, digits and `/_+=.@-` (the name, \
             not its ARN)"
        )
    })
}

fn secret_key(text: &str) -> Result<(), String> {
    is_secret(text).then_some(()).ok_or_else(|| {
        format!("`{text}` cannot be the key of a secret: 1 to 512 letters, digits and `/_+=.@-`")
    })
}

/// The names that Secrets Manager accepts (`CreateSecret`).
fn is_secret(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-".contains(&byte);
    (1..=512).contains(&text.len()) && text.bytes().all(plain)
}

fn page_origin(text: &str) -> Result<(), String> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let plain = |host: &str| {
        !host.is_empty()
            && host == host.to_ascii_lowercase()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"/?#'\"\\$".contains(&byte))
    };
    (text == "*" || host.is_some_and(plain))
        .then_some(())
        .ok_or_else(|| {
            format!(
                "`{text}` is not the origin of a page: scheme, host and port in lower case, \
                 such as `https://app.example.com`, or `*`"
            )
        })
}

fn weighed(text: &str) -> Result<(), String> {
    if text == OTHER {
        return Ok(());
    }
    Route::parse(text)
        .map(|_| ())
        .map_err(|error| format!("{error}; or `{OTHER}` for calls that no route matches"))
}

fn api_id(text: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    ((1..=32).contains(&text.len()) && text.bytes().all(plain))
        .then_some(())
        .ok_or_else(|| format!("`{text}` is not the id of an API: lower-case letters and digits"))
}

fn stage_name(text: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (text == "$default" || ((1..=128).contains(&text.len()) && text.bytes().all(plain)))
        .then_some(())
        .ok_or_else(|| {
            format!("`{text}` is not a stage: letters, digits, `_` and `-`, or `$default`")
        })
}

fn cors_method(text: &str) -> Result<(), String> {
    CORS_METHODS.contains(&text).then_some(()).ok_or_else(|| {
        format!(
            "`{text}` is not a method that pages may use: expected one of {}",
            CORS_METHODS.join(", ")
        )
    })
}

fn email(text: &str) -> Result<(), String> {
    let (user, host) = text.split_once('@').unwrap_or_default();
    let fits = !user.is_empty()
        && host.split('.').count() > 1
        && host.split('.').all(|label| !label.is_empty())
        && !host.contains('@')
        && text.len() <= 254
        && text.chars().all(|c| c.is_ascii_graphic());
    fits.then_some(())
        .ok_or_else(|| format!("`{text}` is not an email address, such as `oncall@example.com`"))
}

fn time_zone(text: &str) -> Result<(), String> {
    domain::plan::time_zone(text)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

fn tag_key(text: &str) -> Result<(), String> {
    let reserved = text.to_lowercase().starts_with("aws:");
    (is_tag(text, 128) && !reserved)
        .then_some(())
        .ok_or_else(|| {
            format!(
                "`{text}` cannot be the key of a tag: 1 to 128 letters, digits, spaces and \
             `_ . : / = + - @`, not beginning with `aws:`"
            )
        })
}

fn tag_value(text: &str) -> Result<(), String> {
    is_tag(text, 256).then_some(()).ok_or_else(|| {
        format!(
            "`{text}` cannot be the value of a tag: 1 to 256 letters, digits, spaces and \
             `_ . : / = + - @`"
        )
    })
}

/// Spaces at either end are refused too: services cut them, and a tag would differ from its
/// template.
fn is_tag(text: &str, most: usize) -> bool {
    let character = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    (1..=most).contains(&text.chars().count())
        && text.chars().all(character)
        && text.trim_matches(' ').len() == text.len()
}

fn key_arn(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split(':').collect();
    let fits = match parts.as_slice() {
        [
            "arn",
            "aws" | "aws-cn" | "aws-us-gov",
            "kms",
            region,
            owner,
            key,
        ] => {
            REGIONS.contains(region)
                && account(owner).is_ok()
                && key.strip_prefix("key/").is_some_and(|id| {
                    !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                })
        }
        _ => false,
    };
    fits.then_some(()).ok_or_else(|| {
        format!(
            "`{text}` is not the ARN of a KMS key: \
             `arn:aws:kms:{{region}}:{{account}}:key/{{id}}`, no alias"
        )
    })
}

fn tls_policy(text: &str) -> Result<(), String> {
    let enhanced = text.strip_prefix("SecurityPolicy_").is_some_and(|rest| {
        !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    (enhanced || text == "TLS_1_2")
        .then_some(())
        .ok_or_else(|| {
            format!(
                "`{text}` is not a security policy of API Gateway that refuses TLS before 1.2: \
             `TLS_1_2`, or one such as `SecurityPolicy_TLS13_1_3_2025_09`"
            )
        })
}

impl KeyArn {
    /// The region of the key.
    pub(super) fn region(&self) -> &str {
        self.as_str().split(':').nth(3).unwrap_or_default()
    }
}

fn words(text: &str) -> Result<(), String> {
    (!text.trim().is_empty())
        .then_some(())
        .ok_or_else(|| "an empty text is given".to_owned())
}

/// Reads a text and checks it while the parser still knows its position.
pub(super) struct Text(pub(super) fn(&str) -> Result<(), String>);

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text; quote a value that YAML reads as another type")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        (self.0)(text).map_err(E::custom)?;
        Ok(text.to_owned())
    }
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bounded<const LEAST: u32, const MOST: u32>(u32);

impl<const LEAST: u32, const MOST: u32> Bounded<LEAST, MOST> {
    /// The number, clamped to the bounds.
    pub const fn clamped(number: u32) -> Self {
        if number < LEAST {
            Self(LEAST)
        } else if number > MOST {
            Self(MOST)
        } else {
            Self(number)
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Reads a number. The error for a number out of range ends with the reason for the range.
    pub(super) fn because<'de, D: Deserializer<'de>>(
        deserializer: D,
        reason: &'static str,
    ) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(Number { reason })
    }
}

impl<'de, const LEAST: u32, const MOST: u32> Deserialize<'de> for Bounded<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::because(deserializer, "")
    }
}

impl<const LEAST: u32, const MOST: u32> serde::Serialize for Bounded<LEAST, MOST> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.get())
    }
}

impl<const LEAST: u32, const MOST: u32> JsonSchema for Bounded<LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("WholeNumber{LEAST}To{MOST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}

struct Number<const LEAST: u32, const MOST: u32> {
    /// The reason for the range; empty if it needs no explanation.
    reason: &'static str,
}

impl<const LEAST: u32, const MOST: u32> Number<LEAST, MOST> {
    fn bounded<E: Error>(&self, number: Option<u32>, given: impl fmt::Display) -> Result<u32, E> {
        let colon = if self.reason.is_empty() { "" } else { ": " };
        number
            .filter(|number| (LEAST..=MOST).contains(number))
            .ok_or_else(|| {
                E::custom(format!(
                    "`{given}` is out of range: expected {LEAST} to {MOST}{colon}{}",
                    self.reason
                ))
            })
    }
}

impl<const LEAST: u32, const MOST: u32> Visitor<'_> for Number<LEAST, MOST> {
    type Value = Bounded<LEAST, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {LEAST} to {MOST}")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.bounded(u32::try_from(number).ok(), number)
            .map(Bounded)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.bounded(u32::try_from(number).ok(), number)
            .map(Bounded)
    }
}
