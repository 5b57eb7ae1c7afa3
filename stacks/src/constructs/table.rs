//! A DynamoDB table: on demand, encrypted, recoverable, retained.

use super::encryption::Encryption;
use super::grants::Grantee;
use super::stack::Stack;
use crate::cfn::policy::Statement;
use crate::cfn::{Arn, LogicalId, Val, dynamodb, sub};

/// A table, of this stack or known by its name.
#[derive(Clone, Debug)]
pub struct Table {
    name: String,
    arn: Val<Arn<dynamodb::Table>>,
    indexes: Vec<&'static str>,
    stream: Option<Val<Arn<dynamodb::TableStream>>>,
    key: Encryption,
}

/// A primary key of text attributes.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The partition key.
    pub partition: &'static str,
    /// The sort key, if items share a partition key.
    pub sort: Option<&'static str>,
}

/// An index of text attributes. It contains only items that have the attributes of its key.
#[derive(Clone, Copy, Debug)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// Its key.
    pub key: Key,
    /// The attributes that it contains.
    pub projection: Projection,
}

/// The attributes that an index contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    /// Every attribute.
    All,
    /// The keys of the table and of the index.
    Keys,
}

/// The content of a table's stream about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamView {
    /// The item's key.
    Keys,
    /// The item before and after the change.
    Images,
}

/// The settings in which tables differ.
#[derive(Clone, Debug)]
pub struct TableSettings<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its primary key.
    pub key: Key,
    /// Its indexes.
    pub indexes: &'a [Index],
    /// The attribute with an item's expiry time.
    pub expires: Option<&'static str>,
    /// The content of its stream, if it has one.
    pub stream: Option<StreamView>,
    /// Whether AWS refuses to delete it.
    pub protected: bool,
    /// The key that encrypts it, its indexes and its stream.
    pub encryption: Encryption,
}

/// The KMS actions that DynamoDB takes on behalf of its caller: it creates and opens the keys of
/// tables (DynamoDB Developer Guide, "DynamoDB encryption at rest: usage notes").
const KEY_ACTIONS: [&str; 3] = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"];

impl Key {
    fn schema(self) -> Vec<dynamodb::TableKeySchema> {
        let part = |attribute: &str, kind: dynamodb::TableKeySchemaKeyType| {
            dynamodb::TableKeySchema::new(dynamodb::TableKeySchemaRequired {
                attribute_name: attribute.into(),
                key_type: kind.into(),
            })
        };
        let sort = self.sort;
        std::iter::once(part(self.partition, dynamodb::TableKeySchemaKeyType::Hash))
            .chain(sort.map(|sort| part(sort, dynamodb::TableKeySchemaKeyType::Range)))
            .collect()
    }

    fn attributes(self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.partition).chain(self.sort)
    }
}

impl Table {
    /// Declares a table that outlives its stack.
    pub fn new(stack: &mut Stack, id: impl Into<LogicalId>, settings: &TableSettings<'_>) -> Self {
        let encrypted = dynamodb::TableSSESpecification::new(true)
            .sse_type(dynamodb::TableSSESpecificationSSEType::Kms);
        let mut table = dynamodb::Table::new(settings.key.schema())
            .table_name(settings.name)
            .billing_mode(dynamodb::TableBillingMode::PayPerRequest)
            .attribute_definitions(attributes(settings))
            .point_in_time_recovery_specification(
                dynamodb::TablePointInTimeRecoverySpecification::new()
                    .point_in_time_recovery_enabled(true),
            )
            .sse_specification(match &settings.encryption {
                Encryption::Managed => encrypted,
                Encryption::Key(key) => encrypted.kms_master_key_id(key.clone()),
            })
            .deletion_protection_enabled(settings.protected);
        if let Some(attribute) = settings.expires {
            table = table.time_to_live_specification(
                dynamodb::TableTimeToLiveSpecification::new(true).attribute_name(attribute),
            );
        }
        if !settings.indexes.is_empty() {
            let indexes: Vec<_> = settings.indexes.iter().map(|of| of.declared()).collect();
            table = table.global_secondary_indexes(indexes);
        }
        if let Some(view) = settings.stream {
            table = table
                .stream_specification(dynamodb::TableStreamSpecification::new(view.declared()));
        }
        let handle = stack.template().add(id, table);
        stack.template().retain(&handle);
        Self {
            name: settings.name.to_owned(),
            arn: handle.arn(),
            indexes: settings.indexes.iter().map(|index| index.name).collect(),
            stream: settings.stream.map(|_| handle.stream_arn()),
            key: settings.encryption.clone(),
        }
    }

    /// A table of another stack, in this account and region, with the indexes in use, under AWS's
    /// own key.
    pub fn named<const N: usize>(name: &str, indexes: [&'static str; N]) -> Self {
        Self {
            name: name.to_owned(),
            arn: sub(arn_of(name)),
            indexes: indexes.into(),
            stream: None,
            key: Encryption::Managed,
        }
    }

    /// The same table, if its own stack encrypts it with a key.
    #[must_use]
    pub fn encrypted(mut self, key: Encryption) -> Self {
        self.key = key;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ARN of its stream, if it has one.
    pub fn stream_arn(&self) -> Option<Val<Arn<dynamodb::TableStream>>> {
        self.stream.clone()
    }

    /// Allows a grantee to call these actions (`dynamodb:GetItem`) on the table.
    pub fn grant<const N: usize>(&self, to: &impl Grantee, actions: [&'static str; N]) {
        to.grants()
            .allow(Statement::allow(actions, self.arn.clone()));
        self.allow_key(to);
    }

    /// Allows a grantee to call these actions on the items whose partition key begins with
    /// `prefix`, and on no others.
    pub fn grant_partitions<const N: usize>(
        &self,
        to: &impl Grantee,
        actions: [&'static str; N],
        prefix: &str,
    ) {
        let statement = Statement::allow(actions, self.arn.clone());
        to.grants()
            .allow(statement.when_partition_like(format!("{prefix}*")));
        self.allow_key(to);
    }

    /// Allows a grantee to use the table's own key, through DynamoDB only.
    fn allow_key(&self, to: &impl Grantee) {
        if let Encryption::Key(key) = &self.key {
            let through = sub::<String>("dynamodb.${AWS::Region}.amazonaws.com".to_owned());
            to.grants().allow(
                Statement::allow(KEY_ACTIONS, key.clone()).when_equal("kms:ViaService", through),
            );
        }
    }

    /// Allows a grantee to query each index.
    pub fn grant_query_indexes(&self, to: &impl Grantee) {
        for index in &self.indexes {
            let arn: Val<String> = sub(format!("{}/index/{index}", arn_of(&self.name)));
            to.grants()
                .allow(Statement::allow_each(["dynamodb:Query"], [arn]));
        }
        if !self.indexes.is_empty() {
            self.allow_key(to);
        }
    }

    /// Allows a function's event source mapping to read the stream, if there is one.
    pub fn grant_read_stream(&self, to: &impl Grantee) {
        if let Some(stream) = self.stream_arn() {
            to.grants().allow(Statement::allow(
                [
                    "dynamodb:DescribeStream",
                    "dynamodb:GetRecords",
                    "dynamodb:GetShardIterator",
                ],
                stream,
            ));
            self.allow_key(to);
            to.grants().allow(Statement::allow_on_all(
                ["dynamodb:ListStreams"],
                "ListStreams has no resource type (Service Authorization Reference, DynamoDB)",
            ));
        }
    }
}

fn arn_of(name: &str) -> String {
    format!("arn:${{AWS::Partition}}:dynamodb:${{AWS::Region}}:${{AWS::AccountId}}:table/{name}")
}

fn attributes(settings: &TableSettings<'_>) -> Vec<dynamodb::TableAttributeDefinition> {
    let indexes = settings.indexes.iter().map(|index| index.key);
    let mut names: Vec<&str> = settings
        .key
        .attributes()
        .chain(indexes.flat_map(Key::attributes))
        .collect();
    names.sort_unstable();
    names.dedup();
    let names = names.into_iter();
    names
        .map(|name| {
            dynamodb::TableAttributeDefinition::new(dynamodb::TableAttributeDefinitionRequired {
                attribute_name: name.into(),
                attribute_type: dynamodb::TableAttributeDefinitionAttributeType::S.into(),
            })
        })
        .collect()
}

impl Index {
    fn declared(self) -> dynamodb::TableGlobalSecondaryIndex {
        let projection = match self.projection {
            Projection::All => dynamodb::TableProjectionProjectionType::All,
            Projection::Keys => dynamodb::TableProjectionProjectionType::KeysOnly,
        };
        dynamodb::TableGlobalSecondaryIndex::new(dynamodb::TableGlobalSecondaryIndexRequired {
            index_name: self.name.into(),
            key_schema: crate::cfn::List::of(self.key.schema()),
            projection: dynamodb::TableProjection::new().projection_type(projection),
        })
    }
}

impl StreamView {
    const fn declared(self) -> dynamodb::TableStreamSpecificationStreamViewType {
        match self {
            Self::Keys => dynamodb::TableStreamSpecificationStreamViewType::KeysOnly,
            Self::Images => dynamodb::TableStreamSpecificationStreamViewType::NewAndOldImages,
        }
    }
}
