//! The properties of a table on which its functions depend: declared, actual, compared. Pure.

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, SseStatus, TableDescription,
};
use serde_json::Value;

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyPart {
    pub(crate) attribute: String,
    /// `HASH` or `RANGE`.
    pub(crate) role: String,
    /// `S`, `N` or `B`.
    pub(crate) kind: String,
}

/// A global secondary index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexShape {
    pub(crate) name: String,
    pub(crate) key: Vec<KeyPart>,
    pub(crate) projection: String,
}

/// The key that encrypts a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// DynamoDB's own key, outside KMS.
    #[default]
    Owned,
    /// A key of KMS: the one with this ARN, or AWS's for DynamoDB.
    Kms(Option<String>),
}

/// The properties of a table on which functions, or the safety of its data, depend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    key: Vec<KeyPart>,
    indexes: BTreeMap<String, IndexShape>,
    /// The view type of its stream, if it has one.
    stream: Option<String>,
    /// The attribute by which items expire, if any do.
    expires: Option<String>,
    /// Whether it has point-in-time recovery.
    recoverable: bool,
    encryption: Encryption,
    protected: bool,
    /// Whether it is paid per request: a table with provisioned capacity throttles beyond it.
    on_demand: bool,
}

/// What DynamoDB tells about a table beside its description.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// The attribute by which items expire, if any do.
    pub(super) expires: Option<String>,
    /// Whether it has point-in-time recovery.
    pub(super) recoverable: bool,
}

/// The change that removes a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Turn on a stream with this view type.
    Stream(String),
    /// Replace the stream by one with this view type.
    OtherStream(String),
    /// Create the index.
    Index(IndexShape),
    /// Let items expire by this attribute.
    Expire(String),
    /// Stop items from expiring by this attribute.
    KeepForever(String),
    /// Turn on point-in-time recovery.
    Recover,
    /// Encrypt it with the KMS key of this ARN, or with AWS's for DynamoDB.
    Encrypt(Option<String>),
    /// Turn on deletion protection.
    Protect,
    /// Replace its provisioned capacity by payment per request.
    OnDemand,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(view) => write!(f, "turning on its stream, view `{view}`"),
            Self::OtherStream(view) => write!(f, "replacing its stream by one with view `{view}`"),
            Self::Index(index) => write!(
                f,
                "making index `{}`, which takes long for a large table",
                index.name
            ),
            Self::Expire(attribute) => write!(f, "having items expire by `{attribute}`"),
            Self::KeepForever(attribute) => {
                write!(f, "no longer having items expire by `{attribute}`")
            }
            Self::Recover => f.write_str("turning on its point-in-time recovery"),
            Self::Encrypt(Some(key)) => write!(f, "encrypting it with `{key}`"),
            Self::Encrypt(None) => f.write_str("encrypting it with AWS's key for DynamoDB"),
            Self::Protect => f.write_str("turning on its deletion protection"),
            Self::OnDemand => f.write_str("changing it to payment per request"),
        }
    }
}

/// A difference between a table and its declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    says: String,
    remedy: Option<Remedy>,
}

impl Difference {
    fn mended(says: impl Into<String>, remedy: Remedy) -> Self {
        Self {
            says: says.into(),
            remedy: Some(remedy),
        }
    }

    fn obstacle(says: impl Into<String>) -> Self {
        Self {
            says: says.into(),
            remedy: None,
        }
    }

    /// Whether only another table would remove it.
    pub fn is_obstacle(&self) -> bool {
        self.remedy.is_none()
    }

    pub(super) const fn remedy(&self) -> Option<&Remedy> {
        self.remedy.as_ref()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)
    }
}

impl Shape {
    /// The shape in the properties of an `AWS::DynamoDB::Table`.
    pub(super) fn declared(properties: &Value) -> Self {
        let text = |value: &Value, member: &str| {
            let text = value.get(member).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let list = |value: &Value, member: &str| {
            let list = value.get(member).and_then(Value::as_array);
            list.cloned().unwrap_or_default()
        };
        let kinds: BTreeMap<String, String> = list(properties, "AttributeDefinitions")
            .iter()
            .map(|one| (text(one, "AttributeName"), text(one, "AttributeType")))
            .collect();
        let key = |of: &Value| {
            let parts = list(of, "KeySchema");
            let parts = parts.iter().map(|part| {
                let attribute = text(part, "AttributeName");
                let kind = kinds.get(&attribute).cloned().unwrap_or_default();
                KeyPart {
                    role: text(part, "KeyType"),
                    attribute,
                    kind,
                }
            });
            parts.collect::<Vec<_>>()
        };
        let indexes = list(properties, "GlobalSecondaryIndexes");
        let indexes = indexes.iter().map(|index| {
            let shape = IndexShape {
                name: text(index, "IndexName"),
                key: key(index),
                projection: index
                    .get("Projection")
                    .map(|projection| text(projection, "ProjectionType"))
                    .unwrap_or_default(),
            };
            (shape.name.clone(), shape)
        });
        let at = |path: &str| properties.pointer(path).and_then(Value::as_str);
        Self {
            key: key(properties),
            indexes: indexes.collect(),
            stream: at("/StreamSpecification/StreamViewType").map(str::to_owned),
            expires: at("/TimeToLiveSpecification/AttributeName").map(str::to_owned),
            recoverable: properties
                .pointer("/PointInTimeRecoverySpecification/PointInTimeRecoveryEnabled")
                == Some(&Value::Bool(true)),
            encryption: if properties.pointer("/SSESpecification/SSEEnabled")
                == Some(&Value::Bool(true))
            {
                Encryption::Kms(at("/SSESpecification/KMSMasterKeyId").map(str::to_owned))
            } else {
                Encryption::Owned
            },
            protected: properties.get("DeletionProtectionEnabled") == Some(&Value::Bool(true)),
            on_demand: at("/BillingMode") == Some(BillingMode::PayPerRequest.as_str()),
        }
    }

    /// The shape in DynamoDB's description of a table, and beside it.
    pub(super) fn actual(table: &TableDescription, beside: Beside) -> Self {
        let kinds = table.attribute_definitions();
        let indexes = table.global_secondary_indexes().iter().map(|index| {
            let projection = index.projection().and_then(|one| one.projection_type());
            let shape = IndexShape {
                name: index.index_name().unwrap_or_default().to_owned(),
                key: parts(index.key_schema(), kinds),
                projection: projection.map_or("", |kind| kind.as_str()).to_owned(),
            };
            (shape.name.clone(), shape)
        });
        let stream = table
            .stream_specification()
            .filter(|stream| stream.stream_enabled());
        let view = stream.and_then(|stream| stream.stream_view_type());
        Self {
            key: parts(table.key_schema(), kinds),
            indexes: indexes.collect(),
            stream: view.map(|view| view.as_str().to_owned()),
            expires: beside.expires,
            recoverable: beside.recoverable,
            encryption: encryption(table),
            protected: table.deletion_protection_enabled == Some(true),
            // DynamoDB has no summary of a table that always had provisioned capacity.
            on_demand: table
                .billing_mode_summary()
                .and_then(|billing| billing.billing_mode())
                == Some(&BillingMode::PayPerRequest),
        }
    }

    /// The differences between this declaration and `actual`. Additional features of `actual` do
    /// not count.
    pub(super) fn differences(&self, actual: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        if self.key != actual.key {
            found.push(Difference::obstacle(format!(
                "its key is {}, expected {}",
                shown(&actual.key),
                shown(&self.key)
            )));
        }
        found.extend(self.stream_difference(actual));
        found.extend(
            self.indexes
                .values()
                .filter_map(|index| index_difference(index, actual.indexes.get(&index.name))),
        );
        found.extend(self.expiry_difference(actual));
        if self.recoverable && !actual.recoverable {
            let says = "it has no point-in-time recovery";
            found.push(Difference::mended(says, Remedy::Recover));
        }
        found.extend(self.encryption_difference(actual));
        if self.protected && !actual.protected {
            let says = "it has no deletion protection";
            found.push(Difference::mended(says, Remedy::Protect));
        }
        if self.on_demand && !actual.on_demand {
            let says = "it has provisioned capacity, which throttles calls beyond it";
            found.push(Difference::mended(says, Remedy::OnDemand));
        }
        found
    }

    fn stream_difference(&self, actual: &Self) -> Option<Difference> {
        let declared = self.stream.as_ref()?;
        match &actual.stream {
            Some(view) if view == declared => None,
            Some(view) => Some(Difference::mended(
                format!("its stream shows `{view}`, expected `{declared}`"),
                Remedy::OtherStream(declared.clone()),
            )),
            None => Some(Difference::mended(
                "it has no stream",
                Remedy::Stream(declared.clone()),
            )),
        }
    }

    /// AWS's key for DynamoDB has an ARN like any other: a table under another key passes for one
    /// under it.
    fn encryption_difference(&self, actual: &Self) -> Option<Difference> {
        let Encryption::Kms(declared) = &self.encryption else {
            return None;
        };
        let says = match (declared, &actual.encryption) {
            (_, Encryption::Owned) => "it is not encrypted with a key of KMS".to_owned(),
            (None, Encryption::Kms(_)) => return None,
            (Some(declared), Encryption::Kms(key)) if key.as_ref() == Some(declared) => {
                return None;
            }
            (Some(declared), Encryption::Kms(key)) => {
                let key = key.as_deref().unwrap_or("unknown");
                format!("it is encrypted with `{key}`, expected `{declared}`")
            }
        };
        Some(Difference::mended(says, Remedy::Encrypt(declared.clone())))
    }

    fn expiry_difference(&self, actual: &Self) -> Option<Difference> {
        match (&self.expires, &actual.expires) {
            (None, Some(attribute)) => Some(Difference::mended(
                format!("its items expire by `{attribute}`, expected no expiry"),
                Remedy::KeepForever(attribute.clone()),
            )),
            (Some(attribute), None) => Some(Difference::mended(
                "its items do not expire",
                Remedy::Expire(attribute.clone()),
            )),
            // DynamoDB takes up to an hour to turn one attribute off, and accepts no other before
            // that.
            (Some(declared), Some(attribute)) if declared != attribute => {
                Some(Difference::obstacle(format!(
                    "its items expire by `{attribute}`, expected `{declared}`: turn that off, and \
                     deploy again an hour later"
                )))
            }
            _ => None,
        }
    }
}

/// The encryption in DynamoDB's description of a table, which has none under DynamoDB's own key.
fn encryption(table: &TableDescription) -> Encryption {
    let kms = table.sse_description().filter(|sse| {
        !matches!(
            sse.status(),
            None | Some(SseStatus::Disabled | SseStatus::Disabling)
        )
    });
    kms.map_or(Encryption::Owned, |kms| {
        Encryption::Kms(kms.kms_master_key_arn.clone())
    })
}

fn index_difference(declared: &IndexShape, actual: Option<&IndexShape>) -> Option<Difference> {
    let name = &declared.name;
    let Some(actual) = actual else {
        return Some(Difference::mended(
            format!("it has no index `{name}`"),
            Remedy::Index(declared.clone()),
        ));
    };
    if declared.key != actual.key {
        return Some(Difference::obstacle(format!(
            "the key of its index `{name}` is {}, expected {}: delete the index, and deploy again",
            shown(&actual.key),
            shown(&declared.key)
        )));
    }
    // An index with all attributes also serves queries for keys alone.
    let enough = actual.projection == declared.projection || actual.projection == "ALL";
    (!enough).then(|| {
        Difference::obstacle(format!(
            "its index `{name}` holds `{}`, expected `{}`: delete the index, and deploy again",
            actual.projection, declared.projection
        ))
    })
}

fn parts(schema: &[KeySchemaElement], kinds: &[AttributeDefinition]) -> Vec<KeyPart> {
    let parts = schema.iter().map(|part| {
        let mut kinds = kinds.iter();
        let kind = kinds.find(|kind| kind.attribute_name() == part.attribute_name());
        KeyPart {
            attribute: part.attribute_name().to_owned(),
            role: part.key_type().as_str().to_owned(),
            kind: kind
                .map_or("", |kind| kind.attribute_type().as_str())
                .to_owned(),
        }
    });
    parts.collect()
}

fn shown(key: &[KeyPart]) -> String {
    let parts = key
        .iter()
        .map(|part| format!("{} ({}, {})", part.attribute, part.role, part.kind));
    format!("`{}`", parts.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table() -> Value {
        json!({
            "AttributeDefinitions": [
                {"AttributeName": "PK", "AttributeType": "S"},
                {"AttributeName": "SK", "AttributeType": "S"}],
            "KeySchema": [
                {"AttributeName": "PK", "KeyType": "HASH"},
                {"AttributeName": "SK", "KeyType": "RANGE"}],
            "GlobalSecondaryIndexes": [{
                "IndexName": "back",
                "KeySchema": [{"AttributeName": "SK", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"}}],
            "StreamSpecification": {"StreamViewType": "KEYS_ONLY"},
            "TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": true},
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true},
            "SSESpecification": {"SSEEnabled": true, "KMSMasterKeyId": "arn:of:the:key"},
            "DeletionProtectionEnabled": true,
            "BillingMode": "PAY_PER_REQUEST",
        })
    }

    /// The differences reported for `actual`, with a mark on obstacles.
    fn said(actual: &Value) -> Vec<String> {
        let differences = Shape::declared(&table()).differences(&Shape::declared(actual));
        let said = differences.iter().map(|one| {
            let mark = if one.is_obstacle() { "! " } else { "" };
            format!("{mark}{one}")
        });
        said.collect()
    }

    fn without(member: &str) -> Value {
        let mut value = table();
        value.as_object_mut().unwrap().remove(member);
        value
    }

    fn with(path: &str, to: &Value) -> Value {
        let mut value = table();
        *value.pointer_mut(path).unwrap() = to.clone();
        value
    }

    #[test]
    fn a_table_as_declared_differs_in_nothing() {
        assert_eq!(said(&table()), [""; 0]);
        let more = with(
            "/GlobalSecondaryIndexes/0/Projection/ProjectionType",
            &json!("ALL"),
        );
        assert_eq!(said(&more), [""; 0]);
    }

    #[test]
    fn what_is_missing_can_be_mended() {
        assert_eq!(said(&without("StreamSpecification")), ["it has no stream"]);
        assert_eq!(
            said(&without("TimeToLiveSpecification")),
            ["its items do not expire"]
        );
        assert_eq!(
            said(&without("GlobalSecondaryIndexes")),
            ["it has no index `back`"]
        );
        assert_eq!(
            said(&without("PointInTimeRecoverySpecification")),
            ["it has no point-in-time recovery"]
        );
        assert_eq!(
            said(&without("SSESpecification")),
            ["it is not encrypted with a key of KMS"]
        );
        assert_eq!(
            said(&with(
                "/SSESpecification/KMSMasterKeyId",
                &json!("arn:of:another")
            )),
            ["it is encrypted with `arn:of:another`, expected `arn:of:the:key`"]
        );
        assert_eq!(
            said(&without("DeletionProtectionEnabled")),
            ["it has no deletion protection"]
        );
        for provisioned in [
            without("BillingMode"),
            with("/BillingMode", &json!("PROVISIONED")),
        ] {
            assert_eq!(
                said(&provisioned),
                ["it has provisioned capacity, which throttles calls beyond it"]
            );
        }
        assert_eq!(
            said(&with(
                "/StreamSpecification/StreamViewType",
                &json!("NEW_IMAGE")
            )),
            ["its stream shows `NEW_IMAGE`, expected `KEYS_ONLY`"]
        );
    }

    #[test]
    fn what_dynamodb_never_changes_is_an_obstacle() {
        let other = with("/KeySchema/1/AttributeName", &json!("PK"));
        let obstacles = said(&other);
        assert!(
            obstacles[0].starts_with("! its key is `PK (HASH, S), PK (RANGE, S)`"),
            "{obstacles:?}"
        );
        // The type of a key's attribute is a part of the key.
        let number = with("/AttributeDefinitions/1/AttributeType", &json!("N"));
        assert_eq!(said(&number).len(), 2, "the table's key and its index's");
        assert!(said(&number).iter().all(|one| one.starts_with("! ")));
        for other in [
            with("/TimeToLiveSpecification/AttributeName", &json!("until")),
            with(
                "/GlobalSecondaryIndexes/0/KeySchema/0/AttributeName",
                &json!("PK"),
            ),
            with(
                "/GlobalSecondaryIndexes/0/Projection/ProjectionType",
                &json!("INCLUDE"),
            ),
        ] {
            let said = said(&other);
            assert!(said.len() == 1 && said[0].starts_with("! "), "{said:?}");
        }
    }

    #[test]
    fn a_key_of_kms_satisfies_a_declaration_that_names_none() {
        let declared = with("/SSESpecification", &json!({"SSEEnabled": true}));
        let differences = |actual: &Value| {
            let differences = Shape::declared(&declared).differences(&Shape::declared(actual));
            differences.len()
        };
        assert_eq!(differences(&table()), 0);
        assert_eq!(differences(&without("SSESpecification")), 1);
    }

    #[test]
    fn items_that_must_stay_no_longer_expire() {
        let declared = Shape::declared(&without("TimeToLiveSpecification"));
        let differences = declared.differences(&Shape::declared(&table()));
        let remedies: Vec<_> = differences.iter().filter_map(Difference::remedy).collect();
        assert_eq!(remedies, [&Remedy::KeepForever("ttl".into())]);
    }
}
