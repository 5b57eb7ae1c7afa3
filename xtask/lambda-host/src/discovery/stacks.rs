//! The resources of every deployed stack, with the properties of the deployed template.
//!
//! CloudFormation responds in XML. The three responses read here are flat lists, so scanning for
//! their elements is enough.

use serde_json::Value;

use crate::emulator::{Emulator, EmulatorError};

const VERSION: &str = "2010-05-15";

/// A resource of a deployed stack.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeployedResource {
    pub(crate) stack: String,
    pub(crate) logical_id: String,
    pub(crate) physical_id: String,
    pub(crate) kind: String,
    /// As in the template: intrinsics are not resolved.
    pub(crate) properties: Value,
}

/// The resources of all stacks that are not deleted.
pub(crate) async fn resources(emulator: &Emulator) -> Result<Vec<DeployedResource>, EmulatorError> {
    let xml = query(emulator, "DescribeStacks", &[]).await?;
    let mut found = Vec::new();
    for name in elements(&xml, "StackName") {
        let parameters = [("StackName", name.as_str())];
        let listed = query(emulator, "DescribeStackResources", &parameters).await;
        let template = query(emulator, "GetTemplate", &parameters).await;
        // A stack that was deleted in between has no resources.
        if let (Ok(listed), Ok(template)) = (listed, template) {
            found.extend(stack_resources(&name, &listed, &template));
        }
    }
    Ok(found)
}

async fn query(
    emulator: &Emulator,
    action: &str,
    parameters: &[(&str, &str)],
) -> Result<String, EmulatorError> {
    emulator
        .query("cloudformation", VERSION, action, parameters)
        .await
}

fn stack_resources(stack: &str, listed: &str, template: &str) -> Vec<DeployedResource> {
    let template: Value = elements(template, "TemplateBody")
        .first()
        .and_then(|body| serde_json::from_str(body).ok())
        .unwrap_or_default();
    raw_elements(listed, "member")
        .filter_map(|member| {
            let text = |tag| elements(member, tag).into_iter().next();
            let logical_id = text("LogicalResourceId")?;
            let properties = template
                .pointer(&format!("/Resources/{logical_id}/Properties"))
                .cloned()
                .unwrap_or_default();
            Some(DeployedResource {
                stack: stack.to_owned(),
                physical_id: text("PhysicalResourceId")?,
                kind: text("ResourceType")?,
                logical_id,
                properties,
            })
        })
        .collect()
}

/// The texts of all elements of a name, in order.
fn elements(xml: &str, tag: &str) -> Vec<String> {
    raw_elements(xml, tag).map(unescape).collect()
}

fn raw_elements<'a>(xml: &'a str, tag: &str) -> impl Iterator<Item = &'a str> {
    let open = format!("<{tag}>");
    let close = format!("</{tag}>");
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (content, after) = after.split_once(&close)?;
        rest = after;
        Some(content)
    })
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&#x27;", "'")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_resource_has_its_physical_id_and_its_deployed_properties() {
        let listed = "<R><StackResources><member><LogicalResourceId>AccessLog</LogicalResourceId>\
            <PhysicalResourceId>/aws/api</PhysicalResourceId>\
            <ResourceType>AWS::Logs::LogGroup</ResourceType></member></StackResources></R>";
        let template = "<TemplateBody>{&quot;Resources&quot;:{&quot;AccessLog&quot;:{&quot;Properties&quot;:\
            {&quot;LogGroupName&quot;:&quot;a &amp;amp; b&quot;}}}}</TemplateBody>";
        let resources = stack_resources("S", listed, template);
        let resource = resources.first().unwrap();
        assert_eq!(resource.physical_id, "/aws/api");
        assert_eq!(resource.properties, json!({"LogGroupName": "a &amp; b"}));
    }
}
