//! The endpoints for API keys and blocks, which are another function's: `/v1/keys`, `/v1/blocks`.

mod managed;

use domain::endpoint::KeyEndpoint;
use domain::key::KeyStatus;
use domain::names::ADMIN_SCOPE;
use serde_json::{Map, Value, json};

/// The paths, each with its operations.
pub(super) fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    for endpoint in KeyEndpoint::ALL {
        let path = paths.entry(endpoint.path()).or_insert_with(|| json!({}));
        if let Some(operations) = path.as_object_mut() {
            let method = endpoint.method().to_ascii_lowercase();
            operations.insert(method, operation(endpoint));
        }
    }
    paths
}

fn operation(endpoint: KeyEndpoint) -> Value {
    let (summary, description) = words(endpoint);
    let mut operation = json!({
        "operationId": endpoint.operation_id(),
        "summary": summary,
        "description": description,
        "responses": responses(endpoint),
    });
    let parameters = parameters(endpoint);
    if let Some(members) = operation.as_object_mut() {
        if !parameters.is_empty() {
            members.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(body) = body(endpoint) {
            members.insert("requestBody".to_owned(), body);
        }
    }
    operation
}

fn words(endpoint: KeyEndpoint) -> (&'static str, String) {
    match endpoint {
        KeyEndpoint::List => (
            "API keys",
            format!(
                "Everybody's for the scope `{ADMIN_SCOPE}`, in no particular order; with `email`, and for \
                 users their own, the newest first. A list may be a moment behind."
            ),
        ),
        KeyEndpoint::Create => (
            "A new key",
            format!(
                "With the scope `{ADMIN_SCOPE}` for any user, on any plan. A user creates keys for themselves, \
                 with the plan, the rate and at most the expiry of one of their working keys. The response \
                 is the only place where the key is shown."
            ),
        ),
        KeyEndpoint::Rotate => (
            "A new key in place of another",
            "The old key works until the grace period ends, but no longer than it would have otherwise. The \
             response is the only place where the new key is shown."
                .to_owned(),
        ),
        KeyEndpoint::Revoke => (
            "The end of a key",
            "The key is refused within 30 seconds. Repeating it changes nothing.".to_owned(),
        ),
        KeyEndpoint::Set => (
            "A key's plan and its own rate",
            format!(
                "For the scope `{ADMIN_SCOPE}` alone. A member that is absent stays as it is. It takes effect \
                 within 30 seconds."
            ),
        ),
        KeyEndpoint::Import => (
            "A key that another system created",
            format!(
                "For the scope `{ADMIN_SCOPE}` alone. Of the key only its SHA-256 is sent, so it may have any other \
                 form of 16 to 128 printable characters."
            ),
        ),
        KeyEndpoint::Blocks => (
            "Refused addresses and users",
            format!(
                "For the scope `{ADMIN_SCOPE}` alone. The first page holds all addresses. Each page holds the \
                 users among the next thousand keys, so it may hold none, and one of several keys may be on \
                 several pages."
            ),
        ),
        KeyEndpoint::Block => (
            "Refuse an address or a user",
            format!(
                "For the scope `{ADMIN_SCOPE}` alone. Calls from the address, or with any key of the user, are \
                 refused within 30 seconds. Repeating it is safe."
            ),
        ),
        KeyEndpoint::Unblock => (
            "Refuse an address or a user no longer",
            format!(
                "For the scope `{ADMIN_SCOPE}` alone. It takes effect within 30 seconds. Repeating it is safe."
            ),
        ),
    }
}

fn parameters(endpoint: KeyEndpoint) -> Vec<Value> {
    let query = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    let cursor = || {
        query(
            "cursor",
            "`next` of the page before: the list goes on behind it.",
            json!({"type": "string", "minLength": 1}),
        )
    };
    match endpoint {
        KeyEndpoint::Create | KeyEndpoint::Import | KeyEndpoint::Block => Vec::new(),
        KeyEndpoint::Blocks => vec![cursor()],
        KeyEndpoint::Unblock => {
            let whom = json!({"type": "string", "minLength": 1, "description": "The address or the email."});
            let whom = query("whom", WHOM, whom);
            vec![with_required(whom)]
        }
        KeyEndpoint::Rotate | KeyEndpoint::Revoke | KeyEndpoint::Set => vec![json!({
            "name": "id", "in": "path", "required": true,
            "description": "The key's id: not the key itself.",
            "schema": {"type": "string"},
        })],
        KeyEndpoint::List => vec![
            query(
                "email",
                &format!("The user. Another user's keys need the scope `{ADMIN_SCOPE}`."),
                json!({"type": "string", "format": "email", "maxLength": 254}),
            ),
            query(
                "limit",
                "Most keys of the page.",
                json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
            ),
            cursor(),
        ],
    }
}

fn with_required(mut parameter: Value) -> Value {
    if let Some(members) = parameter.as_object_mut() {
        members.insert("required".to_owned(), true.into());
    }
    parameter
}

fn body(endpoint: KeyEndpoint) -> Option<Value> {
    let (schema, is_required) = match endpoint {
        KeyEndpoint::Create => ("KeyOrder", true),
        KeyEndpoint::Rotate => ("KeyRotation", false),
        KeyEndpoint::Set => ("KeySetting", true),
        KeyEndpoint::Import => ("KeyImport", true),
        KeyEndpoint::Block => ("Blocking", true),
        KeyEndpoint::List | KeyEndpoint::Revoke | KeyEndpoint::Blocks | KeyEndpoint::Unblock => {
            return None;
        }
    };
    Some(json!({"required": is_required, "content": content(schema)}))
}

fn responses(endpoint: KeyEndpoint) -> Value {
    let refer = |name: &str| json!({"$ref": format!("#/components/responses/{name}")});
    let error = |description: &str| json!({"description": description, "content": super::errors()});
    let (status, schema, description) = match endpoint {
        KeyEndpoint::List => ("200", "KeyList", "The keys."),
        KeyEndpoint::Create => ("201", "NewKey", "The key."),
        KeyEndpoint::Rotate => ("201", "RotatedKey", "The new key."),
        KeyEndpoint::Revoke => ("200", "RevokedKey", "When it was revoked, now or before."),
        KeyEndpoint::Set => ("200", "SetKey", "The key after the change."),
        KeyEndpoint::Import => ("201", "ImportedKey", "The key."),
        KeyEndpoint::Blocks => ("200", "BlockList", "Who is refused."),
        KeyEndpoint::Block | KeyEndpoint::Unblock => (
            "200",
            "BlockResult",
            "Whether they are refused from now on.",
        ),
    };
    let mut responses = Map::new();
    let mut add = |status: &str, response: Value| responses.insert(status.to_owned(), response);
    add(
        status,
        json!({"description": description, "content": content(schema)}),
    );
    add(
        "400",
        error("The request is not valid; `parameter` names the part at fault."),
    );
    add("401", refer("Unauthorized"));
    add(
        "403",
        error("The caller may not do this; the message says why."),
    );
    if matches!(
        endpoint,
        KeyEndpoint::Rotate | KeyEndpoint::Revoke | KeyEndpoint::Set
    ) {
        add(
            "404",
            error("The key does not exist, or belongs to another user."),
        );
    }
    if matches!(endpoint, KeyEndpoint::Block | KeyEndpoint::Unblock) {
        add("404", error("The user has no key."));
        add(
            "409",
            error("No more addresses can be blocked, or the list was changed at the same time."),
        );
    } else if endpoint == KeyEndpoint::Import {
        add(
            "409",
            error("The key exists already, or its user was changed at the same time."),
        );
    } else if !matches!(endpoint, KeyEndpoint::List | KeyEndpoint::Blocks) {
        add(
            "409",
            error("The key does not work any more, or was changed at the same time."),
        );
    }
    if body(endpoint).is_some() {
        add("413", error("The body is longer than 10 KB."));
        add("415", error("The body is not JSON."));
    }
    add("500", refer("Internal"));
    add(
        "503",
        error(
            "The keys are unavailable. Look at the list before you try again: the change may have taken effect.",
        ),
    );
    Value::Object(responses)
}

fn content(schema: &str) -> Value {
    json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}})
}

/// The schemas that the operations refer to.
pub(super) fn schemas() -> Map<String, Value> {
    let list = json!({
        "type": "object",
        "description": "A page of keys.",
        "required": ["keys", "next", "plans"],
        "properties": {
            "keys": {"type": "array", "items": {"$ref": "#/components/schemas/ListedKey"}},
            "next": {"type": ["string", "null"], "description": "The cursor of the next page."},
            "plans": {
                "type": "array", "items": {"type": "string"},
                "description": "The plans on which the caller may create a key.",
            },
        },
    });
    let revoked = object(
        "A revoked key.",
        &[("id", id()), ("revokedAt", time("When."))],
    );
    let mut rotated = new_key();
    rotated.push(("replaces", text("The id of the old key.")));
    rotated.push(("graceUntil", time("When the old key stops working.")));
    Map::from_iter(
        [
            ("KeyList", list),
            ("ListedKey", object("A key in a list.", &listed_key())),
            ("NewKey", object("A new key.", &new_key())),
            (
                "RotatedKey",
                object("A key that replaces another.", &rotated),
            ),
            ("RevokedKey", revoked),
            ("KeyOrder", order()),
            ("KeyRotation", rotation()),
            ("KeySetting", managed::setting()),
            ("SetKey", managed::set_key()),
            ("KeyImport", managed::import()),
            ("ImportedKey", managed::imported_key()),
            ("BlockList", block_list()),
            (
                "BlockedAddress",
                blocked("A refused address.", "address", ADDRESS),
            ),
            (
                "BlockedUser",
                blocked("A refused user.", "email", "The user."),
            ),
            ("BlockResult", block_result()),
            ("Blocking", blocking()),
        ]
        .map(|(name, schema)| (name.to_owned(), schema)),
    )
}

/// An address as it is shown.
const ADDRESS: &str = "The address, for IPv6 its /64.";
/// An address or a user.
const WHOM: &str = "An address, of which for IPv6 the /64 counts, or the email of a user.";

fn block_list() -> Value {
    json!({
        "type": "object",
        "description": "A page of those who are refused.",
        "required": ["addresses", "users", "next"],
        "properties": {
            "addresses": {"type": "array", "items": {"$ref": "#/components/schemas/BlockedAddress"}},
            "users": {"type": "array", "items": {"$ref": "#/components/schemas/BlockedUser"}},
            "next": {"type": ["string", "null"], "description": "The cursor of the next page."},
        },
    })
}

fn blocked(description: &str, name: &'static str, of: &str) -> Value {
    object(
        description,
        &[(name, text(of)), ("since", time("Since when."))],
    )
}

fn block_result() -> Value {
    let is_blocked = json!({"type": "boolean", "description": "Whether they are refused."});
    object(
        "Whether an address or a user is refused.",
        &[
            ("whom", text("The address, for IPv6 its /64; or the email.")),
            ("blocked", is_blocked),
        ],
    )
}

fn blocking() -> Value {
    json!({
        "type": "object",
        "description": "Whom to refuse.",
        "required": ["whom"],
        "additionalProperties": false,
        "properties": {"whom": {"type": "string", "minLength": 1, "description": WHOM}},
    })
}

fn listed_key() -> Vec<(&'static str, Value)> {
    let states = [
        KeyStatus::Active,
        KeyStatus::Grace,
        KeyStatus::Expired,
        KeyStatus::Revoked,
    ];
    vec![
        ("id", id()),
        ("prefix", text("The first characters of the key.")),
        ("email", text("Its user.")),
        ("plan", text("Its plan.")),
        (
            "status",
            json!({"type": "string", "enum": states.map(KeyStatus::as_str)}),
        ),
        ("createdAt", time("When it was created.")),
        ("expiresAt", maybe("When it stops working.")),
        ("lastUsedAt", maybe("When it was last used, to the hour.")),
    ]
}

fn new_key() -> Vec<(&'static str, Value)> {
    vec![
        ("id", id()),
        ("key", text("The key itself. Nothing shows it again.")),
        ("email", text("Its user.")),
        ("plan", text("Its plan.")),
        ("createdAt", time("When it was created.")),
        ("expiresAt", maybe("When it stops working.")),
    ]
}

fn order() -> Value {
    json!({
        "type": "object",
        "description": "The key to create.",
        "additionalProperties": false,
        "properties": {
            "email": {"type": ["string", "null"], "format": "email", "description": "Its user; the caller if absent and the caller is a user."},
            "plan": {"type": ["string", "null"], "minLength": 1, "description": "Its plan. A user need not give it."},
            "expires": {"type": ["string", "null"], "minLength": 1, "description": "When it stops working: a duration such as `30d`, or a time in RFC 3339."},
        },
    })
}

fn rotation() -> Value {
    json!({
        "type": "object",
        "description": "How to replace a key.",
        "additionalProperties": false,
        "properties": {"grace": {
            "type": ["string", "null"], "pattern": "^[0-9]+[smhd]$", "default": "24h",
            "description": "How long the old key keeps working.",
        }},
    })
}

/// An object whose members are all there.
fn object(description: &str, members: &[(&'static str, Value)]) -> Value {
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let properties = members
        .iter()
        .map(|(name, of)| ((*name).to_owned(), of.clone()));
    json!({
        "type": "object",
        "description": description,
        "required": names,
        "properties": properties.collect::<Map<_, _>>(),
    })
}

fn id() -> Value {
    text("Its id.")
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
}

fn maybe(description: &str) -> Value {
    json!({"type": ["string", "null"], "format": "date-time", "description": description})
}
