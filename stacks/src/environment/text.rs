//! Values that are only what can be: regions, accounts, prefixes, addresses, bounded numbers.

use std::borrow::Cow;
use std::fmt;

use domain::route::{OTHER, Route};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// The regions of AWS's commercial, Chinese and US government partitions (botocore 1.44.5,
/// `partitions.json`).
const REGIONS: [&str; 40] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "me-west-1",
    "mx-central-1",
    "sa-east-1",
    "sa-west-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// A text that passed its check. The schema carries the same rule as a pattern.
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

texts! {
    /// An AWS account: twelve digits, quoted, for YAML takes them for a number.
    Account: account, "^[0-9]{12}$".to_owned();
    /// An AWS region.
    Region: region, format!("^({})$", REGIONS.join("|"));
    /// Lower-case letters, digits and hyphens, at most 20, a letter first.
    ResourcePrefix: resource_prefix, "^[a-z][a-z0-9-]{0,19}$".to_owned();
    /// Letters, digits and hyphens, at most 20, a letter first.
    StackPrefix: stack_prefix, "^[A-Za-z][A-Za-z0-9-]{0,19}$".to_owned();
    /// An `http` or `https` address.
    Address: address, "^https?://[^\\s/]+".to_owned();
    /// An email address.
    Email: email, "^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$".to_owned();
    /// A time zone of the IANA database: `Asia/Kolkata`.
    TimeZone: time_zone, "^[A-Za-z]".to_owned();
    /// The key of a tag: at most 128 characters, not beginning with `aws:`.
    TagKey: tag_key, "^(?!aws:).{1,128}$".to_owned();
    /// The value of a tag: at most 256 characters.
    TagValue: tag_value, "^.{0,256}$".to_owned();
    /// An `http` or `https` address without a query.
    UpstreamAddress: upstream_address, "^https?://[^\\s/?#{}']+[^\\s?#{}']*$".to_owned();
    /// A header of ours: lower-case letters, digits and hyphens, such as `x-usage-user`.
    HeaderName: header_name, "^x-[a-z0-9-]{1,60}$".to_owned();
    /// Any header's name in lower case.
    FieldName: field_name, "^[a-z0-9-]{1,64}$".to_owned();
    /// The name of a secret in Secrets Manager.
    SecretName: secret_name, "^[A-Za-z0-9/_+=.@-]{1,512}$".to_owned();
    /// A key of a secret that is a JSON object.
    SecretKey: secret_key, "^[A-Za-z0-9/_+=.@-]{1,512}$".to_owned();
    /// Where a page comes from: scheme, host and port, or `*`.
    PageOrigin: page_origin, "^(\\*|https?://[^\\s/?#'\"]+)$".to_owned();
    /// What units are given for: a route, such as `GET /search`, or `other`.
    Weighed: weighed, "^(other|(ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) /[^ ]*)$".to_owned();
    /// The id of an API: lower-case letters and digits.
    ApiId: api_id, "^[a-z0-9]{1,32}$".to_owned();
    /// A method that pages may use.
    CorsMethod: cors_method, format!("^({})$", CORS_METHODS.join("|"));
}

/// The methods of the gateway but `OPTIONS`, which browsers use to ask.
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

/// What an environment's name, and so its file's, may be.
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
        "`{text}` is not an AWS region, such as `ap-south-1`; it is one of {}",
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
    let fits = cased
        && (1..=20).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    fits.then_some(()).ok_or_else(|| {
        format!(
            "`{text}` cannot be a prefix: 1 to 20 {letters}, digits and hyphens, a letter first"
        )
    })
}

fn address(text: &str) -> Result<(), String> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    host.filter(|host| !host.is_empty() && !host.starts_with('/'))
        .filter(|_| !text.contains(char::is_whitespace))
        .map(|_| ())
        .ok_or_else(|| format!("`{text}` is not an address: `https://` or `http://`, then a host"))
}

fn upstream_address(text: &str) -> Result<(), String> {
    address(text)?;
    if text.contains(['?', '#', '{', '}', '\'', '"']) {
        return Err(format!(
            "`{text}` cannot be an upstream: an address without query, fragment, braces and quotes"
        ));
    }
    Ok(())
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

fn field_name(text: &str) -> Result<(), String> {
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

/// What Secrets Manager takes as a name (`CreateSecret`).
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
                "`{text}` is not where a page comes from: scheme, host and port in lower case, \
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
        .map_err(|error| format!("{error}; or `{OTHER}` for what no route fits"))
}

fn api_id(text: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    ((1..=32).contains(&text.len()) && text.bytes().all(plain))
        .then_some(())
        .ok_or_else(|| format!("`{text}` is not the id of an API: lower-case letters and digits"))
}

fn cors_method(text: &str) -> Result<(), String> {
    CORS_METHODS.contains(&text).then_some(()).ok_or_else(|| {
        format!(
            "`{text}` is not a method that pages may use: it is one of {}",
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
    let fits =
        (1..=128).contains(&text.chars().count()) && !text.to_lowercase().starts_with("aws:");
    fits.then_some(()).ok_or_else(|| {
        format!(
            "`{text}` cannot be the key of a tag: 1 to 128 characters, not beginning with `aws:`"
        )
    })
}

fn tag_value(text: &str) -> Result<(), String> {
    (text.chars().count() <= 256)
        .then_some(())
        .ok_or_else(|| format!("`{text}` cannot be the value of a tag: at most 256 characters"))
}

/// Reads a text and checks it, while the parser still knows where it stands.
struct Text(fn(&str) -> Result<(), String>);

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text; quote what YAML takes for something else")
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
    /// The number, brought into the bounds.
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

    /// Reads a number. The error for one out of range ends with the reason for the range.
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
    /// Why the range is what it is; empty where that needs no words.
    reason: &'static str,
}

impl<const LEAST: u32, const MOST: u32> Number<LEAST, MOST> {
    fn bounded<E: Error>(&self, number: Option<u32>, given: impl fmt::Display) -> Result<u32, E> {
        let colon = if self.reason.is_empty() { "" } else { ": " };
        number
            .filter(|number| (LEAST..=MOST).contains(number))
            .ok_or_else(|| {
                E::custom(format!(
                    "`{given}` is out of range, {LEAST} to {MOST} is allowed{colon}{}",
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
