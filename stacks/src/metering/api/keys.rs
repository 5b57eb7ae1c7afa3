//! `/v1/keys` and `/v1/blocks`: API keys, and refused addresses and users, over HTTP.

use std::collections::BTreeMap;

use domain::endpoint::KeyEndpoint;
use domain::names::{Function as Of, KEYS_BY_EMAIL_INDEX, KEYS_BY_ID_INDEX, env};
use domain::table::{AUDIT_PREFIX, BLOCKS};

use super::authentication;
use super::gateway::{OwnApi, To};
use crate::SynthError;
use crate::constructs::{Function, Stack, Table, Verb};
use crate::metering::context::StackContext;
use crate::metering::pipeline::Size;

/// Declares the function.
pub(super) fn function(
    context: &StackContext<'_>,
    stack: &mut Stack,
) -> Result<Function, SynthError> {
    let names = &context.names;
    let prefix = context.environment.resource_prefix.as_str();
    let mut variables = BTreeMap::from([
        (env::API_KEYS_TABLE, names.api_keys_table().into()),
        (env::API_USAGE_TABLE, names.usage_table().into()),
        (env::KEY_PREFIX, prefix.into()),
        (env::PLANS, context.plans()?),
    ]);
    variables.extend(authentication(context));
    let function = context.function(
        stack,
        "KeysApi",
        Of::Keys,
        "Creates, imports, changes, rotates, revokes and lists API keys, and blocks addresses and users",
        &Size {
            memory: 512,
            timeout: 25,
        },
        variables,
    )?;
    let indexes = [KEYS_BY_ID_INDEX, KEYS_BY_EMAIL_INDEX];
    let keys = Table::named(&names.api_keys_table(), indexes).encrypted(context.encryption());
    keys.grant(
        &function,
        [
            "dynamodb:ConditionCheckItem",
            "dynamodb:PutItem",
            "dynamodb:Scan",
            "dynamodb:UpdateItem",
        ],
    );
    keys.grant_query_indexes(&function);
    // Both are beside the counts, which this function must not touch.
    let usage = context.table(&names.usage_table());
    usage.grant_partitions(&function, ["dynamodb:PutItem"], AUDIT_PREFIX);
    usage.grant_partitions(&function, ["dynamodb:GetItem", "dynamodb:PutItem"], BLOCKS);
    Ok(function)
}

/// Declares the routes.
pub(super) fn routes(stack: &mut Stack, api: &mut OwnApi, function: &Function) {
    // The function verifies bearer tokens itself.
    for endpoint in KeyEndpoint::ALL {
        let verb = match endpoint {
            KeyEndpoint::List | KeyEndpoint::Blocks => Verb::Get,
            KeyEndpoint::Create
            | KeyEndpoint::Rotate
            | KeyEndpoint::Import
            | KeyEndpoint::Block => Verb::Post,
            KeyEndpoint::Set => Verb::Patch,
            KeyEndpoint::Revoke | KeyEndpoint::Unblock => Verb::Delete,
        };
        let route = (verb, endpoint.path());
        api.function(stack, endpoint.route_id(), route, function, To::Everyone);
    }
}
