//! The endpoints of the analytics API and those for keys and blocks, each listed once: the functions route by
//! these lists, the stack declares a route for each, the `OpenAPI` document describes each, and a
//! test checks the README against them.

/// An endpoint of the analytics API. All of them accept `GET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// The usage page.
    Page,
    /// The last five minutes.
    Realtime,
    /// Counts over time.
    Timeseries,
    /// One user's usage.
    UserStats,
    /// What was called in a span, and the responses.
    Endpoints,
    /// Who called in a span.
    Users,
    /// The forecast of a user's period.
    Forecast,
    /// Deviations from the usual.
    Anomalies,
    /// The `OpenAPI` document.
    OpenApi,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 9] = [
        Self::Page,
        Self::Realtime,
        Self::Timeseries,
        Self::UserStats,
        Self::Endpoints,
        Self::Users,
        Self::Forecast,
        Self::Anomalies,
        Self::OpenApi,
    ];

    /// Its path below the API's address. The page is also served with a trailing slash.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Page => "/v1/analytics",
            Self::Realtime => "/v1/analytics/realtime",
            Self::Timeseries => "/v1/analytics/timeseries",
            Self::UserStats => "/v1/analytics/user-stats",
            Self::Endpoints => "/v1/analytics/endpoints",
            Self::Users => "/v1/analytics/users",
            Self::Forecast => "/v1/analytics/forecast",
            Self::Anomalies => "/v1/analytics/anomalies",
            Self::OpenApi => "/v1/analytics/openapi.json",
        }
    }

    /// Logical id of its route in the stack.
    pub const fn route_id(self) -> &'static str {
        match self {
            Self::Page => "AnalyticsPage",
            Self::Realtime => "AnalyticsRealtime",
            Self::Timeseries => "AnalyticsTimeseries",
            Self::UserStats => "AnalyticsUserStats",
            Self::Endpoints => "AnalyticsEndpoints",
            Self::Users => "AnalyticsUsers",
            Self::Forecast => "AnalyticsForecast",
            Self::Anomalies => "AnalyticsAnomalies",
            Self::OpenApi => "AnalyticsOpenApi",
        }
    }

    /// Its name in the `OpenAPI` document.
    pub const fn operation_id(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Realtime => "realtime",
            Self::Timeseries => "timeseries",
            Self::UserStats => "userStats",
            Self::Endpoints => "endpoints",
            Self::Users => "users",
            Self::Forecast => "forecast",
            Self::Anomalies => "anomalies",
            Self::OpenApi => "openApi",
        }
    }

    /// Whether it serves no data and so needs no bearer token.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Page | Self::OpenApi)
    }

    /// The endpoint at `path`, with or without a trailing slash.
    pub fn at(path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.path() == path)
    }
}

/// An endpoint for API keys and blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyEndpoint {
    /// Lists keys.
    List,
    /// Creates a key.
    Create,
    /// Replaces a key by a new one.
    Rotate,
    /// Revokes a key.
    Revoke,
    /// Changes a key's plan or its own rate.
    Set,
    /// Accepts a key that another system created.
    Import,
    /// Lists blocked addresses and users.
    Blocks,
    /// Blocks an address or a user.
    Block,
    /// Unblocks an address or a user.
    Unblock,
}

impl KeyEndpoint {
    /// Every endpoint.
    pub const ALL: [Self; 9] = [
        Self::List,
        Self::Create,
        Self::Rotate,
        Self::Revoke,
        Self::Set,
        Self::Import,
        Self::Blocks,
        Self::Block,
        Self::Unblock,
    ];

    /// Its HTTP method.
    pub const fn method(self) -> &'static str {
        match self {
            Self::List | Self::Blocks => "GET",
            Self::Create | Self::Rotate | Self::Import | Self::Block => "POST",
            Self::Set => "PATCH",
            Self::Revoke | Self::Unblock => "DELETE",
        }
    }

    /// Its path below the API's address. `{id}` is the key's id, never the key itself.
    pub const fn path(self) -> &'static str {
        match self {
            Self::List | Self::Create => "/v1/keys",
            Self::Rotate => "/v1/keys/{id}/rotate",
            Self::Revoke | Self::Set => "/v1/keys/{id}",
            Self::Import => "/v1/keys/import",
            Self::Blocks | Self::Block | Self::Unblock => "/v1/blocks",
        }
    }

    /// Logical id of its route in the stack.
    pub const fn route_id(self) -> &'static str {
        match self {
            Self::List => "KeysList",
            Self::Create => "KeysCreate",
            Self::Rotate => "KeysRotate",
            Self::Revoke => "KeysRevoke",
            Self::Set => "KeysSet",
            Self::Import => "KeysImport",
            Self::Blocks => "BlocksList",
            Self::Block => "BlocksBlock",
            Self::Unblock => "BlocksUnblock",
        }
    }

    /// Its name in the `OpenAPI` document.
    pub const fn operation_id(self) -> &'static str {
        match self {
            Self::List => "listKeys",
            Self::Create => "createKey",
            Self::Rotate => "rotateKey",
            Self::Revoke => "revokeKey",
            Self::Set => "setKey",
            Self::Import => "importKey",
            Self::Blocks => "listBlocks",
            Self::Block => "block",
            Self::Unblock => "unblock",
        }
    }

    /// The endpoints at a path of the gateway, each with another method.
    pub fn at(path: &str) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |endpoint| endpoint.path() == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_is_found_at_its_own_path() {
        for endpoint in Endpoint::ALL {
            assert_eq!(Endpoint::at(endpoint.path()), Some(endpoint));
            assert_eq!(
                Endpoint::at(&format!("{}/", endpoint.path())),
                Some(endpoint)
            );
        }
        for path in ["", "/", "/v1/analytics//", "/v1/analytics/other"] {
            assert_eq!(Endpoint::at(path), None, "{path}");
        }
    }
}
