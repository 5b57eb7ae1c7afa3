//! The vendored extract, as it is parsed. Knows nothing about Rust names.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::CodegenError;

/// The extract of AWS's published schema: `stacks/spec/cloudformation.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extract {
    /// The layout's version: 1.
    #[serde(rename = "format")]
    _format: Format,
    /// Package name to the version it was taken from.
    #[serde(rename = "sources")]
    _sources: BTreeMap<String, String>,
    /// IAM actions by service, in lower case: whether they can name a resource.
    pub(crate) actions: BTreeMap<String, BTreeMap<String, bool>>,
    /// By CloudFormation type name.
    pub(crate) resources: BTreeMap<String, Resource>,
}

/// The layout this generator reads.
#[derive(Debug, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct Format;

impl TryFrom<u32> for Format {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            1 => Ok(Self),
            other => Err(format!("format `{other}`, this generator reads format `1`")),
        }
    }
}

/// One resource type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    /// Markdown.
    pub(crate) documentation: String,
    /// By CloudFormation name.
    pub(crate) properties: BTreeMap<String, Property>,
    /// The results of `Fn::GetAtt`.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, Attribute>,
    /// Property types that the properties use.
    pub(crate) types: BTreeMap<String, PropertyType>,
    /// Whether deleting it would lose data.
    #[serde(default)]
    pub(crate) stateful: bool,
    /// The place of its tags.
    pub(crate) tags: Option<Tags>,
}

/// One property type of a resource.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PropertyType {
    /// Markdown.
    pub(crate) documentation: String,
    /// By CloudFormation name.
    pub(crate) properties: BTreeMap<String, Property>,
}

/// One property.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Property {
    /// Markdown.
    pub(crate) documentation: String,
    /// Its content.
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    /// CloudFormation refuses the resource without it.
    #[serde(default)]
    pub(crate) required: bool,
    /// Whether a change replaces the resource.
    pub(crate) replacement: Option<String>,
}

/// The content of a property, and its limits.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Kind {
    #[serde(rename_all = "camelCase")]
    String {
        #[serde(default)]
        allowed: Vec<String>,
        pattern: Option<String>,
        min_length: Option<u64>,
        max_length: Option<u64>,
        #[serde(default)]
        refers: Vec<String>,
    },
    #[serde(rename_all = "camelCase")]
    Integer {
        #[serde(default)]
        allowed: Vec<i64>,
        minimum: Option<f64>,
        maximum: Option<f64>,
    },
    #[serde(rename_all = "camelCase")]
    Number {
        minimum: Option<f64>,
        maximum: Option<f64>,
    },
    Boolean {},
    Json {},
    Tag {},
    #[serde(rename_all = "camelCase")]
    List {
        of: Box<Kind>,
        min_items: Option<u64>,
        max_items: Option<u64>,
    },
    Map {
        of: Box<Kind>,
    },
    Ref {
        name: String,
    },
}

/// One attribute.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attribute {
    /// Markdown.
    pub(crate) documentation: String,
    /// `string`, `integer`, `boolean`, `number`, or a kind that no scalar can hold.
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// The place of a resource's tags, and their shape.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tags {
    /// The property.
    pub(crate) property: String,
    /// `standard` is a list of keys and values, `map` an object.
    pub(crate) variant: String,
}

impl Extract {
    /// Reads the extract.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or contains anything unknown to this generator.
    pub(crate) fn read(path: &Path) -> Result<Self, CodegenError> {
        let text = std::fs::read_to_string(path).map_err(|source| CodegenError::File {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|source| CodegenError::Extract { source })
    }

    /// Resources by service: `DynamoDB` to [(`Table`, …)].
    pub(crate) fn services(&self) -> BTreeMap<&str, Vec<(&str, &Resource)>> {
        let mut services: BTreeMap<&str, Vec<(&str, &Resource)>> = BTreeMap::new();
        for (name, resource) in &self.resources {
            let mut parts = name.split("::").skip(1);
            if let (Some(service), Some(name)) = (parts.next(), parts.next()) {
                services.entry(service).or_default().push((name, resource));
            }
        }
        services
    }
}
