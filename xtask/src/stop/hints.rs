//! Hints for the most frequent refusals by AWS.
//!
//! AWS has few codes and many messages: if a code is too general, the message decides.

use deployer::Error;

use crate::aws::unprotect;

/// Hints by fragments of AWS's messages. The first match wins.
const WORDS: [(&str, &str); 16] = [
    (
        "cannot be deleted while in status",
        "someone else is changing the stack: run the command again, and it waits for them",
    ),
    (
        "is in UPDATE_IN_PROGRESS state",
        "someone else is changing the stack: run the command again, and it waits for them",
    ),
    (
        "state and can not be updated",
        "someone else is changing the stack: run the command again, and it waits for them",
    ),
    (
        "already exists",
        "something of that name belongs to another stack, or was made by hand: delete it there, or choose another `resourcePrefix`",
    ),
    (
        "not authorized to perform",
        "the credentials, or CloudFormation's role, lack that permission: `cargo xtask iam` prints the roles that deploy and operate this environment",
    ),
    ("Rate exceeded", "AWS is throttling: run the command again"),
    (
        "below its minimum value",
        "the account's quota of concurrent executions is too low for a reserve: ask AWS to raise `Concurrent executions` in the console of Service Quotas",
    ),
    (
        "cannot be assumed by Lambda",
        "a new role is not known everywhere yet: run the command again",
    ),
    (
        "LimitExceeded",
        "a quota of the account is reached: the console of Service Quotas shows and raises it",
    ),
    (
        "limit exceeded",
        "a quota of the account is reached: the console of Service Quotas shows and raises it",
    ),
    (
        "Cannot delete entity",
        "something outside the stack uses it: detach that first",
    ),
    (
        "is not empty",
        "it still holds data: empty it, then run the command again",
    ),
    (
        "S3 Error Code: NoSuchKey",
        "a function's zip is missing from the bucket of assets: run the command again to publish it",
    ),
    (
        "CloudWatch Logs role ARN must be set",
        "API Gateway may not write logs in this account yet: run the command again, the role takes a moment to propagate",
    ),
    (
        "being deleted",
        "AWS is still deleting an earlier one: wait a minute, then run the command again",
    ),
    (
        "Internal Failure",
        "AWS had an internal error: run the command again; if it fails again, look at the AWS Health Dashboard",
    ),
];

/// What AWS adds to a refusal that no permission of ours would lift.
const DENIED: (&str, &str) = (
    "explicit deny",
    "a policy denies it, often one of the organisation: ask the administrator of the account which one",
);

/// The hint for an error from AWS.
pub(super) fn of(error: &Error) -> Option<String> {
    match error {
        Error::Unreachable { .. } => Some(
            "check the region, the endpoint, the network and the credentials (`aws sts get-caller-identity`)"
                .to_owned(),
        ),
        Error::ForeignBucket { .. } => Some(
            "use credentials of that account with the rights of `cargo xtask iam`; if the name is taken by another account, choose another `resourcePrefix`"
                .to_owned(),
        ),
        Error::RollbackStuck { stack, skip, .. } => Some(stuck(stack, skip)),
        Error::TimedOut { .. } => Some(
            "AWS goes on with what it has begun: run the command again, and it waits for that"
                .to_owned(),
        ),
        error if error.words().is_some_and(|words| words.contains(DENIED.0)) => {
            Some(DENIED.1.to_owned())
        }
        Error::CreatedMeanwhile { .. } | Error::AssetChanged { .. } => {
            Some("run the command again: it then shows what changes".to_owned())
        }
        error => error
            .code()
            .and_then(by_code)
            .map(str::to_owned)
            .or_else(|| protected(error.words()?))
            .or_else(|| by_words(error.words()?).map(str::to_owned))
            .or_else(|| gone(error)),
    }
}

/// How to continue after somebody deleted a resource by hand, which CloudFormation then does not
/// find.
fn gone(error: &Error) -> Option<String> {
    let Error::StackFailed { stack, failure } = error else {
        return None;
    };
    let (resource, reason) = (&failure.resource, &failure.reason);
    let mut words = ["does not exist", "not found", "NotFound"].iter();
    words.any(|words| reason.contains(words)).then(|| {
        format!(
            "if somebody deleted `{resource}` by hand, create it again under its name and run the command again: \
             `aws cloudformation describe-stack-resource --stack-name {stack} --logical-resource-id {resource}` names it"
        )
    })
}

/// How to lift the termination protection of the stack that AWS names in brackets.
fn protected(words: &str) -> Option<String> {
    let words = words.contains("TerminationProtection").then_some(words)?;
    let (_, rest) = words.split_once('[')?;
    let (stack, _) = rest.split_once(']')?;
    Some(format!("`{}` lifts it", unprotect(stack)))
}

/// How to continue without the resources that cannot be rolled back.
fn stuck(stack: &str, skip: &[String]) -> String {
    let console = "fix what the reason names and run the command again";
    if skip.is_empty() {
        return console.to_owned();
    }
    format!(
        "{console}; or leave the resources as they are: `aws cloudformation continue-update-rollback --stack-name {stack} --resources-to-skip {}`",
        skip.join(" ")
    )
}

fn by_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            "the credentials have expired: log in again"
        }
        "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => {
            "the credentials are not valid: log in again, or choose another `AWS_PROFILE`"
        }
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
            "the credentials lack that permission: `cargo xtask iam` prints the roles that deploy and operate this environment"
        }
        "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded" => "AWS is throttling: run the command again",
        "OptInRequired" | "SubscriptionRequiredException" => {
            "the account may not use this service or region yet: enable it in the console"
        }
        "InvalidChangeSetStatus" | "ChangeSetNotFound" => {
            "someone else changed the stack in the meantime: run the command again, and review its changes"
        }
        "InsufficientCapabilitiesException" => {
            "the role of CloudFormation does not accept named roles: use one that may deploy this environment"
        }
        _ => return None,
    })
}

fn by_words(words: &str) -> Option<&'static str> {
    let mut remedies = WORDS.iter();
    let (_, remedy) = remedies.find(|(part, _)| words.contains(part))?;
    Some(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, message: &str) -> Error {
        Error::Refused {
            operation: "UpdateStack",
            code: code.into(),
            message: message.into(),
        }
    }

    #[test]
    fn words_help_where_the_code_says_too_little() {
        let hint = |message: &str| of(&refused("ValidationError", message)).unwrap_or_default();
        assert!(
            hint("Stack [S] cannot be deleted while TerminationProtection is enabled")
                .ends_with("--stack-name S` lifts it")
        );
        assert!(
            hint("Stack [S] cannot be deleted while in status UPDATE_IN_PROGRESS")
                .contains("waits for them")
        );
        assert!(
            hint("Stack:arn:x is in UPDATE_IN_PROGRESS state and can not be updated.")
                .contains("someone else")
        );
        assert_eq!(hint("something new"), "");
    }

    #[test]
    fn an_explicit_deny_is_not_mended_by_a_permission() {
        let message = "User: arn:aws:iam::1:user/a is not authorized to perform: s3:PutObject with an \
                       explicit deny in a service control policy";
        for code in ["AccessDenied", "ValidationError"] {
            let hint = of(&refused(code, message)).unwrap();
            assert!(hint.starts_with("a policy denies it"), "{hint}");
        }
    }

    fn failed(status: &str, reason: &str) -> Error {
        let failure = deployer::StackFailure {
            status: status.into(),
            resource: "Queue".into(),
            kind: "AWS::SQS::Queue".into(),
            reason: reason.into(),
            rolled_back: Vec::new(),
        };
        Error::StackFailed {
            stack: "S".into(),
            failure: Box::new(failure),
        }
    }

    #[test]
    fn a_stack_that_failed_has_the_hint_of_its_first_cause() {
        let failed = failed("ROLLBACK_COMPLETE", "q already exists in stack arn:aws:x");
        assert!(of(&failed).unwrap().contains("resourcePrefix"));
    }

    #[test]
    fn a_resource_that_was_deleted_by_hand_is_named_with_the_way_back() {
        let failed = failed(
            "UPDATE_ROLLBACK_COMPLETE",
            "The specified queue does not exist.",
        );
        let hint = of(&failed).unwrap();
        assert!(
            hint.ends_with("--stack-name S --logical-resource-id Queue` names it"),
            "{hint}"
        );
    }

    #[test]
    fn what_takes_too_long_is_waited_for_by_the_next_run() {
        let late = Error::TimedOut {
            what: "stack `S`".into(),
            seconds: 3_600,
        };
        assert!(of(&late).unwrap().contains("run the command again"));
    }

    #[test]
    fn a_rollback_that_is_stuck_names_what_to_skip() {
        let stuck = Error::RollbackStuck {
            stack: "S".into(),
            resource: "A".into(),
            reason: "gone".into(),
            skip: vec!["A".into(), "B".into()],
        };
        let hint = of(&stuck).unwrap();
        assert!(
            hint.ends_with("--stack-name S --resources-to-skip A B`"),
            "{hint}"
        );
    }
}
