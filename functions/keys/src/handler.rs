//! The gateway's requests and their responses: authenticates, reads the request, and asks the
//! keyring.

use aws_lambda_events::apigw::ApiGatewayProxyResponse;
use bearer::{Caller, Verifier};
use domain::endpoint::KeyEndpoint;
use domain::key::normal_email;
use domain::time::UnixMillis;
use keyring::{Actor, Blocks, KeyError, KeyTable, Keyring, ListedKey, Pages, Role, Whom};
use runtime::request::Request;
use runtime::response::{failure, json};

use crate::body::{self, Listed};
use crate::error::RequestError;

/// The parameter that names the user.
const EMAIL: &str = "email";
/// The parameter for the number of keys per page.
const LIMIT: &str = "limit";
/// The parameter for the start of a page: the id of the key before it.
const CURSOR: &str = "cursor";
/// The parameter that names the address or user to unblock.
const WHOM: &str = "whom";
/// The most keys per page.
pub const MOST: usize = 1_000;
/// Keys per page by default.
pub const DEFAULT: usize = 100;

/// The endpoints.
#[derive(Debug)]
pub struct Api<T> {
    /// The keys.
    pub keyring: Keyring<T>,
    /// Checks bearer tokens.
    pub verifier: Verifier,
}

impl<T: KeyTable> Api<T> {
    /// Responds to a request.
    pub async fn respond(&self, request: &Request, now: UnixMillis) -> ApiGatewayProxyResponse {
        match self.decide(request, now).await {
            Ok(response) => response,
            Err(error) => {
                error.log();
                failure(request, error.status(), &error.body(), error.header())
            }
        }
    }

    async fn decide(
        &self,
        request: &Request,
        now: UnixMillis,
    ) -> Result<ApiGatewayProxyResponse, RequestError> {
        let endpoint = route(request)?;
        // A caller without a valid token learns nothing about the request.
        let authorization = request.header("authorization");
        let caller = self.verifier.caller(&authorization, now).await?;
        let actor = actor(caller)?;
        let has_parameters = matches!(
            endpoint,
            KeyEndpoint::List | KeyEndpoint::Blocks | KeyEndpoint::Unblock
        );
        if !has_parameters && let Some((name, _)) = request.parameters().next() {
            return Err(unknown(name, "none"));
        }
        let keyring = &self.keyring;
        Ok(match endpoint {
            KeyEndpoint::List => json(200, &self.list(request, &actor, now).await?, None),
            KeyEndpoint::Create => {
                let order = body::order(request, now)?;
                let creation = keyring.plan_creation(order, &actor, now).await?;
                let new = keyring.create(creation, &actor, now).await?;
                json(201, &new, None)
            }
            KeyEndpoint::Rotate => {
                let grace = body::grace(request)?;
                let rotation = keyring
                    .plan_rotation(id(request)?, grace, &actor, now)
                    .await?;
                let rotated = keyring.rotate(rotation, &actor, now).await?;
                json(201, &rotated, None)
            }
            KeyEndpoint::Revoke => {
                let revoked = keyring.revoke(id(request)?, &actor, now).await?;
                json(200, &revoked, None)
            }
            KeyEndpoint::Set => {
                let setting = body::setting(request)?;
                let set = keyring.set(id(request)?, setting, &actor, now).await?;
                json(200, &set, None)
            }
            KeyEndpoint::Import => {
                let import = body::import(request, now)?;
                let imported = keyring.import(import, &actor, now).await?;
                json(201, &imported, None)
            }
            KeyEndpoint::Blocks => json(200, &self.blocks(request, &actor).await?, None),
            KeyEndpoint::Block => {
                let whom = body::whom(request)?;
                let blocked = keyring.set_blocked(&whom, true, &actor, now).await?;
                json(200, &blocked, None)
            }
            KeyEndpoint::Unblock => {
                let given = parameter(request, WHOM)?.unwrap_or_default();
                let whom = Whom::read(given)?;
                let unblocked = keyring.set_blocked(&whom, false, &actor, now).await?;
                json(200, &unblocked, None)
            }
        })
    }

    async fn blocks(&self, request: &Request, actor: &Actor) -> Result<Blocks, RequestError> {
        let cursor = parameter(request, CURSOR)?;
        if !actor.manages_all() {
            return Err(KeyError::OfAdministrators.into());
        }
        let after = match cursor {
            Some(cursor) => Some(self.before(cursor, None).await?),
            None => None,
        };
        Ok(self.keyring.blocks(after, actor).await?)
    }

    async fn list(
        &self,
        request: &Request,
        actor: &Actor,
        now: UnixMillis,
    ) -> Result<Listed, RequestError> {
        let asked = Asked::of(request)?;
        let email = match asked.email {
            Some(email) if actor.manages_all() || email == actor.name => Some(email),
            Some(email) => return Err(KeyError::Foreign { email }.into()),
            None => (!actor.manages_all()).then(|| actor.name.clone()),
        };
        let after = match asked.cursor {
            Some(cursor) => Some(self.before(&cursor, email.as_deref()).await?),
            None => None,
        };
        let pages = Pages {
            email,
            after,
            limit: asked.limit,
        };
        let table = &self.keyring.table;
        let page = table.page(&pages).await.map_err(KeyError::from)?;
        let last = page.keys.last().filter(|_| page.is_more);
        Ok(Listed {
            next: last.map(|key| key.id.clone()),
            plans: self.keyring.plans_of(actor, now).await?,
            keys: page
                .keys
                .iter()
                .map(|key| ListedKey::of(key, now))
                .collect(),
        })
    }

    /// The last key of the page before, which must be of the same list.
    async fn before(
        &self,
        cursor: &str,
        email: Option<&str>,
    ) -> Result<domain::key::KeyRecord, RequestError> {
        let found = self.keyring.look_up(cursor).await?;
        found
            .filter(|key| email.is_none_or(|email| key.email == email))
            .ok_or_else(|| {
                RequestError::parameter(CURSOR, "expected `next` of an earlier page of this list")
            })
    }
}

/// The parameters of a list.
struct Asked {
    email: Option<String>,
    limit: usize,
    cursor: Option<String>,
}

impl Asked {
    fn of(request: &Request) -> Result<Self, RequestError> {
        let mut asked = Self {
            email: None,
            limit: DEFAULT,
            cursor: None,
        };
        for (name, values) in request.parameters() {
            let name = [EMAIL, LIMIT, CURSOR]
                .into_iter()
                .find(|known| *known == name)
                .ok_or_else(|| unknown(name, "`email`, `limit`, `cursor`"))?;
            let [value] = values else {
                return Err(repeated(name));
            };
            match name {
                EMAIL => asked.email = Some(normal_email(value).map_err(KeyError::from)?),
                LIMIT => asked.limit = limit(value)?,
                _ => asked.cursor = Some(value.clone()),
            }
        }
        Ok(asked)
    }
}

/// The value of the only parameter that a request may have.
fn parameter<'a>(request: &'a Request, name: &str) -> Result<Option<&'a str>, RequestError> {
    let mut found = None;
    for (given, values) in request.parameters() {
        if given != name {
            return Err(unknown(given, &format!("`{name}`")));
        }
        found = match values {
            [value] => Some(value.as_str()),
            _ => return Err(repeated(name)),
        };
    }
    Ok(found)
}

fn repeated(name: &str) -> RequestError {
    RequestError::parameter(name, format!("`{name}` is given more than once"))
}

fn limit(given: &str) -> Result<usize, RequestError> {
    let is_digits = given.bytes().all(|byte| byte.is_ascii_digit());
    let number = given.parse().ok().filter(|_| is_digits);
    number
        .filter(|number| (1..=MOST).contains(number))
        .ok_or_else(|| {
            let message = format!("expected a whole number from 1 to {MOST}, found `{given}`");
            RequestError::parameter(LIMIT, message)
        })
}

fn unknown(name: &str, expected: &str) -> RequestError {
    let message = format!("unknown parameter `{name}`, expected {expected}");
    RequestError::parameter(name, message)
}

fn route(request: &Request) -> Result<KeyEndpoint, RequestError> {
    let mut here = KeyEndpoint::at(request.resource()).peekable();
    if here.peek().is_none() {
        return Err(RequestError::NoRoute);
    }
    let here: Vec<KeyEndpoint> = here.collect();
    let method = request.http_method.as_str();
    let found = here.iter().find(|endpoint| endpoint.method() == method);
    found.copied().ok_or_else(|| RequestError::Method {
        method: method.to_owned(),
        allowed: here
            .iter()
            .map(|endpoint| endpoint.method())
            .collect::<Vec<_>>()
            .join(", "),
    })
}

/// The id in the path.
fn id(request: &Request) -> Result<&str, RequestError> {
    request.path_parameter("id").ok_or(RequestError::NoRoute)
}

/// The caller, by the name that the audit log shows.
fn actor(caller: Caller) -> Result<Actor, RequestError> {
    let Caller {
        email,
        subject,
        admin,
        ..
    } = caller;
    if admin {
        // A service that manages keys may have no email.
        let name = email.or(subject).ok_or(RequestError::Nobody)?;
        let role = Role::Admin;
        return Ok(Actor { name, role });
    }
    let name = email.ok_or_else(|| {
        RequestError::parameter(
            EMAIL,
            "the token names no user: its claim `email` is missing or not verified",
        )
    })?;
    Ok(Actor {
        name,
        role: Role::User,
    })
}

#[cfg(test)]
mod tests;
