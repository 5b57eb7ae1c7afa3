//! The declarations that meter an existing API, in the language of its stack.
//!
//! An attached API calls the environment's authorizer for every call, and writes its access log to
//! the environment's log group. It counts under its own resources or routes, such as `/orders/{id}`.

use domain::gateway::Gateway;
use domain::names::{Function as Of, Names};

use crate::constructs::log_format;

/// The language of a snippet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// The AWS CDK in TypeScript.
    Cdk,
    /// AWS SAM.
    Sam,
    /// CloudFormation in YAML.
    CloudFormation,
    /// Terraform.
    Terraform,
    /// `OpenAPI` with API Gateway's extensions.
    OpenApi,
    /// This crate.
    Rust,
}

/// An environment, as seen from an API of another stack.
#[derive(Clone, Copy, Debug)]
pub struct Attachment<'a> {
    /// The environment's name.
    pub environment: &'a str,
    /// The names of its resources.
    pub names: &'a Names,
    /// The account that it is deployed to.
    pub account: &'a str,
    /// The region that it is deployed to.
    pub region: &'a str,
    /// The kind of API that is attached.
    pub gateway: Gateway,
}

impl Attachment<'_> {
    /// The declarations that meter an API of this account and region: the authorizer, the permission to
    /// call it, and the access log with its format. `None` for an HTTP API in this crate's language,
    /// which declares only REST APIs.
    pub fn snippet(&self, language: Language) -> Option<String> {
        let text = self.template(language)?;
        let format = match language {
            // Inside a Terraform string.
            Language::Terraform => self.log_format().replace('"', "\\\""),
            _ => self.log_format(),
        };
        let text = text
            .replace("@ENVIRONMENT@", self.environment)
            .replace("@AUTHORIZER_ARN@", &self.authorizer())
            .replace("@AUTHORIZER_URI@", &self.authorizer_uri())
            .replace("@LOG_ARN@", &self.log())
            .replace("@LOG_FORMAT@", &format);
        Some(text)
    }

    const fn template(&self, language: Language) -> Option<&'static str> {
        Some(match (self.gateway, language) {
            (Gateway::Rest, Language::Cdk) => include_str!("attach/rest/cdk.ts"),
            (Gateway::Rest, Language::Sam) => include_str!("attach/rest/sam.yaml"),
            (Gateway::Rest, Language::CloudFormation) => {
                include_str!("attach/rest/cloudformation.yaml")
            }
            (Gateway::Rest, Language::Terraform) => include_str!("attach/rest/terraform.tf"),
            (Gateway::Rest, Language::OpenApi) => include_str!("attach/rest/openapi.yaml"),
            (Gateway::Rest, Language::Rust) => include_str!("attach/rest/rust.rs.txt"),
            (Gateway::Http, Language::Cdk) => include_str!("attach/http/cdk.ts"),
            (Gateway::Http, Language::Sam) => include_str!("attach/http/sam.yaml"),
            (Gateway::Http, Language::CloudFormation) => {
                include_str!("attach/http/cloudformation.yaml")
            }
            (Gateway::Http, Language::Terraform) => include_str!("attach/http/terraform.tf"),
            (Gateway::Http, Language::OpenApi) => include_str!("attach/http/openapi.yaml"),
            (Gateway::Http, Language::Rust) => return None,
        })
    }

    /// The format of the API's access log.
    pub fn log_format(&self) -> String {
        log_format(self.gateway)
    }

    /// The authorizer as an API's authorizer names it.
    pub fn authorizer_uri(&self) -> String {
        let (partition, region, authorizer) = (self.partition(), self.region, self.authorizer());
        format!(
            "arn:{partition}:apigateway:{region}:lambda:path/2015-03-31/functions/{authorizer}/invocations"
        )
    }

    /// The name of the authorizer's function.
    pub fn authorizer_name(&self) -> String {
        self.names.function(Of::Authorizer)
    }

    /// The ARN of the function that reads the access log.
    pub fn reconciler(&self) -> String {
        let reconciler = self.names.function(Of::Reconciler);
        self.arn("lambda", &format!("function:{reconciler}"))
    }

    /// The name of the access log's group.
    pub fn log_name(&self) -> String {
        self.names.access_log()
    }

    /// The ARN of an authorizer of an API, as the permission to invoke the function names it.
    pub fn source(&self, api: &str, authorizer: &str) -> String {
        self.arn("execute-api", &format!("{api}/authorizers/{authorizer}"))
    }

    /// The authorizer's ARN.
    pub fn authorizer(&self) -> String {
        self.arn("lambda", &format!("function:{}", self.authorizer_name()))
    }

    /// The ARN of the access log's group.
    pub fn log(&self) -> String {
        self.arn("logs", &format!("log-group:{}", self.log_name()))
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        let (partition, region, account) = (self.partition(), self.region, self.account);
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    fn partition(&self) -> &'static str {
        match self.region {
            region if region.starts_with("cn-") => "aws-cn",
            region if region.starts_with("us-gov-") => "aws-us-gov",
            _ => "aws",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const ALL: [Language; 6] = [
        Language::Cdk,
        Language::Sam,
        Language::CloudFormation,
        Language::Terraform,
        Language::OpenApi,
        Language::Rust,
    ];

    fn attachment(names: &Names, gateway: Gateway) -> Attachment<'_> {
        Attachment {
            environment: "test",
            names,
            account: "123456789012",
            region: "ap-south-1",
            gateway,
        }
    }

    #[test]
    fn every_snippet_names_what_is_deployed_and_caches_no_answer() {
        let names = Names::new("complical", "CompliCal", "test");
        for (gateway, language) in [Gateway::Rest, Gateway::Http]
            .into_iter()
            .flat_map(|gateway| ALL.map(|language| (gateway, language)))
        {
            let Some(snippet) = attachment(&names, gateway).snippet(language) else {
                assert_eq!((gateway, language), (Gateway::Http, Language::Rust));
                continue;
            };
            assert!(!snippet.contains('@'), "{language:?}: {snippet}");
            if language == Language::Rust {
                assert!(snippet.contains("environments/test.yaml"), "{snippet}");
                continue;
            }
            let version = match gateway {
                Gateway::Rest => "version",
                Gateway::Http => "http-1",
            };
            for expected in [
                "arn:aws:lambda:ap-south-1:123456789012:function:CompliCal-API-test-ApiKeyAuthorizerFunction",
                "arn:aws:logs:ap-south-1:123456789012:log-group:/aws/apigateway/CompliCal-API-test/access",
                "$context.authorizer.eventId",
                "$context.authorizer.units",
                version,
            ] {
                assert!(
                    snippet.contains(expected),
                    "{gateway:?} {language:?}: {expected}"
                );
            }
        }
    }

    #[test]
    fn arns_are_those_of_the_regions_partition() {
        let names = Names::new("complical", "CompliCal", "test");
        let attachment = attachment(&names, Gateway::Rest);
        let in_china = Attachment {
            region: "cn-north-1",
            ..attachment
        };
        assert!(
            in_china
                .authorizer()
                .starts_with("arn:aws-cn:lambda:cn-north-1:")
        );
    }
}
