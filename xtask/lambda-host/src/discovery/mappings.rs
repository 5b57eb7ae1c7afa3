//! The deployed event source mappings, and how to turn off the emulator's own poller.

use serde_json::{Value, json};

use super::DeployedResource;
use crate::{
    emulator::{Emulator, EmulatorError},
    mapping::MappingSpec,
};

const PATH: &str = "/2015-03-31/event-source-mappings/";

/// The enabled mappings of the deployed stacks that read a Kinesis stream or a table stream.
///
/// The template of its stack decides whether a mapping is enabled: the emulator's own state is what
/// [`switch_off`] made of it. A mapping that no stack declares stays with the emulator.
pub(crate) async fn mappings(
    emulator: &Emulator,
    resources: &[DeployedResource],
) -> Result<Vec<MappingSpec>, EmulatorError> {
    let listed = emulator
        .get("lambda", &format!("{PATH}?MaxItems=10000"))
        .await?;
    let listed = listed.get("EventSourceMappings").and_then(Value::as_array);
    Ok(listed
        .into_iter()
        .flatten()
        .filter_map(MappingSpec::read)
        .filter(|mapping| is_enabled(&mapping.uuid, resources))
        .collect())
}

fn is_enabled(uuid: &str, resources: &[DeployedResource]) -> bool {
    resources
        .iter()
        .find(|resource| {
            resource.kind == "AWS::Lambda::EventSourceMapping" && resource.physical_id == uuid
        })
        .is_some_and(|resource| match resource.properties.get("Enabled") {
            None => true,
            Some(enabled) => enabled.as_bool().unwrap_or(enabled != "false"),
        })
}

/// Disables the mapping in the emulator, whose poller then leaves it alone. A stack update that
/// touches the mapping may enable it again; the next refresh turns it off again.
pub(crate) async fn switch_off(
    emulator: &Emulator,
    mapping: &MappingSpec,
) -> Result<(), EmulatorError> {
    if mapping.polled_by_emulator {
        let path = format!("{PATH}{}", mapping.uuid);
        emulator
            .put("lambda", &path, &json!({"Enabled": false}))
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(properties: Value) -> [DeployedResource; 1] {
        [DeployedResource {
            stack: "S".to_owned(),
            logical_id: "Mapping".to_owned(),
            physical_id: "u".to_owned(),
            kind: "AWS::Lambda::EventSourceMapping".to_owned(),
            properties,
        }]
    }

    #[test]
    fn the_template_says_whether_a_mapping_is_enabled() {
        assert!(is_enabled("u", &declared(json!({}))));
        assert!(is_enabled("u", &declared(json!({"Enabled": true}))));
        assert!(!is_enabled("u", &declared(json!({"Enabled": false}))));
        assert!(!is_enabled("u", &declared(json!({"Enabled": "false"}))));
        assert!(!is_enabled("other", &declared(json!({}))));
    }
}
