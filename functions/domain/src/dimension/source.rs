//! Where the values of dimensions come from, as the environment file says and the authorizer reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The part of a request that holds a dimension's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A variable of the template under which the call is counted.
    Path(String),
    /// A parameter of the query.
    Query(String),
    /// A header, in lower case.
    Header(String),
}

/// A declared dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Declared {
    /// The source of its values.
    #[serde(flatten)]
    pub source: Source,
    /// How many values are counted apart.
    pub values: u8,
}

/// The declared dimensions, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sources(pub BTreeMap<String, Declared>);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_source_reads_back_from_its_variable() {
        let declared = |source, values| Declared { source, values };
        let sources = Sources(BTreeMap::from([
            (
                "account".to_owned(),
                declared(Source::Path("id".to_owned()), 20),
            ),
            (
                "region".to_owned(),
                declared(Source::Query("r".to_owned()), 3),
            ),
            (
                "tenant".to_owned(),
                declared(Source::Header("x-tenant".to_owned()), 50),
            ),
        ]));
        let text = serde_json::to_string(&sources).unwrap();
        assert_eq!(
            text,
            r#"{"account":{"path":"id","values":20},"region":{"query":"r","values":3},"tenant":{"header":"x-tenant","values":50}}"#
        );
        assert_eq!(serde_json::from_str::<Sources>(&text).unwrap(), sources);
    }
}
