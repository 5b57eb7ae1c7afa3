//! The routes of attached APIs.

use std::collections::BTreeMap;

use super::{Counted, Routes};
use crate::gateway;

/// The routes of attached APIs, by the API's id. Calls of an API that is not here have none of their
/// own.
///
/// ```
/// use domain::route::{AttachedRoutes, Route, Routes};
///
/// let routes = Routes::new([(Route::parse("GET /search")?, 10)], 1)?;
/// let attached = AttachedRoutes([("a1b2c3d4e5".to_owned(), routes)].into());
/// let read = AttachedRoutes::from_variable(&attached.to_variable());
/// assert_eq!(read, Some(attached));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachedRoutes(pub BTreeMap<String, Routes>);

impl AttachedRoutes {
    /// The routes of an API.
    pub fn get(&self, api: &str) -> Option<&Routes> {
        self.0.get(api)
    }

    /// The value of a function's environment variable: empty for no API.
    pub fn to_variable(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let texts = self.0.iter();
        let texts = texts.map(|(api, routes)| (api.clone(), routes.to_variable().into()));
        serde_json::Value::Object(texts.collect()).to_string()
    }

    /// Reads what [`AttachedRoutes::to_variable`] wrote.
    pub fn from_variable(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let texts: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
        let routes = texts.into_iter();
        let routes = routes.map(|(api, text)| Some((api, Routes::from_variable(&text)?)));
        routes.collect::<Option<_>>().map(Self)
    }
}

/// Whether a resource or route of an attached API takes calls on many paths: `/{proxy+}`,
/// `/orders/{rest+}`, or the route `$default` of an HTTP API.
pub fn is_catch_all(resource: &str) -> bool {
    resource == gateway::DEFAULT_ROUTE || resource.ends_with("+}")
}

impl Routes {
    /// [`Routes::of`] for an attached API, whose resources may take the calls of some paths only.
    pub fn of_attached<'a>(&'a self, method: &str, resource: &'a str, path: &str) -> Counted<'a> {
        self.counted(method, resource, is_catch_all(resource).then_some(path))
    }
}
