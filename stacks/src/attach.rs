//! What somebody's own REST API needs to be metered, in the language that it is written in.
//!
//! An attached API asks the environment's authorizer at every call, and writes its access log to the
//! environment's log group. It counts under its own resources, such as `/orders/{id}`.

use domain::names::{Function as Of, Names};

use crate::api::{access_log_name, log_format};

/// The language of a snippet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// The AWS CDK in TypeScript.
    Cdk,
    /// AWS SAM, or CloudFormation in YAML.
    Sam,
    /// Terraform.
    Terraform,
    /// `OpenAPI` with API Gateway's extensions.
    OpenApi,
    /// This crate.
    Rust,
}

/// An environment as an API elsewhere names it.
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
}

impl Attachment<'_> {
    /// What meters a REST API of this account and region: where the authorizer is, where the access
    /// log goes and in which format, and the permission.
    pub fn snippet(&self, language: Language) -> String {
        let (text, format) = match language {
            Language::Cdk => (include_str!("attach/cdk.ts"), log_format::json()),
            Language::Sam => (include_str!("attach/sam.yaml"), log_format::json()),
            Language::Terraform => (include_str!("attach/terraform.tf"), quoted()),
            Language::OpenApi => (include_str!("attach/openapi.yaml"), log_format::json()),
            Language::Rust => (include_str!("attach/rust.rs.txt"), log_format::json()),
        };
        let authorizer = self.authorizer();
        let partition = self.partition();
        let region = self.region;
        let uri = format!(
            "arn:{partition}:apigateway:{region}:lambda:path/2015-03-31/functions/{authorizer}/invocations"
        );
        text.replace("@ENVIRONMENT@", self.environment)
            .replace("@AUTHORIZER_ARN@", &authorizer)
            .replace("@AUTHORIZER_URI@", &uri)
            .replace("@LOG_ARN@", &self.log())
            .replace("@LOG_FORMAT@", &format)
    }

    /// The authorizer's ARN.
    pub fn authorizer(&self) -> String {
        let function = self.names.function(Of::Authorizer);
        self.arn("lambda", &format!("function:{function}"))
    }

    /// The ARN of the access log's group.
    pub fn log(&self) -> String {
        self.arn(
            "logs",
            &format!("log-group:{}", access_log_name(self.names)),
        )
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

/// The format within a string of Terraform's.
fn quoted() -> String {
    log_format::json().replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const ALL: [Language; 5] = [
        Language::Cdk,
        Language::Sam,
        Language::Terraform,
        Language::OpenApi,
        Language::Rust,
    ];

    #[test]
    fn every_snippet_names_what_is_deployed_and_caches_no_answer() {
        let names = Names::new("complical", "CompliCal", "test");
        let attachment = Attachment {
            environment: "test",
            names: &names,
            account: "123456789012",
            region: "ap-south-1",
        };
        for language in ALL {
            let snippet = attachment.snippet(language);
            assert!(!snippet.contains('@'), "{language:?}: {snippet}");
            if language == Language::Rust {
                assert!(snippet.contains("environments/test.yaml"), "{snippet}");
                continue;
            }
            for expected in [
                "arn:aws:lambda:ap-south-1:123456789012:function:CompliCal-API-test-ApiKeyAuthorizerFunction",
                "arn:aws:logs:ap-south-1:123456789012:log-group:/aws/apigateway/CompliCal-API-test/access",
                "$context.authorizer.eventId",
            ] {
                assert!(snippet.contains(expected), "{language:?}: {expected}");
            }
        }
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
