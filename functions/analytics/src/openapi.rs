//! The description of the API (<https://spec.openapis.org/oas/v3.1.1>), written by hand. Tests keep it in
//! step with the code.

/// The document.
pub const DOCUMENT: &str = include_str!("../openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::body::{ErrorBody, Realtime, Timeseries, UserStats};
    use crate::handler::ROUTES;
    use schemars::Schema;
    use schemars::generate::SchemaSettings;
    use schemars::transform::transform_subschemas;
    use serde_json::Value;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// The schemas of all bodies, derived from their types.
    fn schemas() -> Value {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let settings = settings
            .with(|settings| settings.definitions_path = "/components/schemas".into())
            .with_transform(in_one_line);
        let mut generator = settings.into_generator();
        generator.subschema_for::<Realtime>();
        generator.subschema_for::<Timeseries>();
        generator.subschema_for::<UserStats>();
        generator.subschema_for::<ErrorBody>();
        Value::Object(generator.take_definitions(true))
    }

    /// Where a comment in the source is broken into lines says nothing.
    fn in_one_line(schema: &mut Schema) {
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace('\n', " ");
        }
        transform_subschemas(&mut in_one_line, schema);
    }

    #[test]
    fn schemas_are_those_of_the_types() {
        let (written, derived) = (document(), schemas());
        let written = &written["components"]["schemas"];
        for (name, schema) in derived.as_object().unwrap() {
            assert_eq!(&written[name], schema, "{name}");
        }
        assert_eq!(*written, derived);
    }

    #[test]
    fn every_route_is_described_with_its_parameters() {
        let document = document();
        let described: BTreeMap<&str, BTreeSet<&str>> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(path, item)| {
                let parameters = item["get"]["parameters"].as_array().into_iter().flatten();
                let names = parameters.map(|parameter| parameter["name"].as_str().unwrap());
                (path.as_str(), names.collect())
            })
            .collect();
        let answered =
            ROUTES.map(|(path, endpoint)| (path, endpoint.parameters().iter().copied().collect()));
        assert_eq!(described, BTreeMap::from(answered));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
            match value {
                Value::Object(members) => {
                    let reference = members.get("$ref").and_then(Value::as_str);
                    found.extend(reference);
                    members.values().for_each(|value| references(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 10, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
