//! All routes of an API, and how they reach the authorizer.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::{ANY, GREEDY, METHODS, OTHER, Route, template};
use crate::pack::{deflate, inflate};

/// The most bytes that a table may inflate to.
const LARGEST: usize = 1024 * 1024;

/// The routes of an API, most specific first, and the units of each.
///
/// ```
/// use domain::route::{Route, Routes};
///
/// let users = (Route::parse("GET /users/{id}")?, 1);
/// let search = (Route::parse("GET /search")?, 10);
/// let routes = Routes::new([users, search], 1)?;
/// let of = |path| {
///     let counted = routes.of("GET", "/{proxy+}", path);
///     (counted.endpoint, counted.units)
/// };
/// assert_eq!(of("/users/7"), ("/users/{id}", 1));
/// assert_eq!(of("/search/"), ("/search", 10));
/// assert_eq!(of("/wp-login.php"), ("other", 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    routes: Vec<(Route, u32)>,
    /// Units of a call that no route matches.
    other: u32,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            other: 1,
        }
    }
}

/// What a call counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted<'a> {
    /// The template.
    pub endpoint: &'a str,
    /// The call's units.
    pub units: u32,
}

/// Two routes that match the same calls.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the routes `{one}` and `{other}` match the same calls")]
pub struct RoutesError {
    one: String,
    other: String,
}

impl Routes {
    /// These routes with their units; `other` are the units of a call that none of them matches.
    ///
    /// # Errors
    ///
    /// If two of them match the same calls.
    pub fn new(
        routes: impl IntoIterator<Item = (Route, u32)>,
        other: u32,
    ) -> Result<Self, RoutesError> {
        let mut routes: Vec<(Route, u32)> = routes.into_iter().collect();
        routes.sort_by(|(one, _), (other, _)| one.order().cmp(&other.order()));
        for (place, (one, _)) in routes.iter().enumerate() {
            let mut after = routes.iter().skip(place + 1);
            if let Some((other, _)) = after.find(|(other, _)| one.fits_as(other)) {
                return Err(RoutesError {
                    one: one.to_string(),
                    other: other.to_string(),
                });
            }
        }
        Ok(Self { routes, other })
    }

    /// The routes, most specific first, with their units.
    pub fn iter(&self) -> impl Iterator<Item = (&Route, u32)> {
        self.routes.iter().map(|(route, units)| (route, *units))
    }

    /// Whether every call counts under its resource and has one unit.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.other == 1
    }

    /// The template and units of a call: of `method`, to the gateway's `resource`, on `path`. A
    /// resource that distinguishes paths is itself the template.
    pub fn of<'a>(&'a self, method: &str, resource: &'a str, path: &str) -> Counted<'a> {
        self.counted(method, resource, GREEDY.contains(&resource).then_some(path))
    }

    /// The template and units of a call; `path` if the resource does not distinguish paths.
    pub(super) fn counted<'a>(
        &'a self,
        method: &str,
        resource: &'a str,
        path: Option<&str>,
    ) -> Counted<'a> {
        let path = path.filter(|_| !self.routes.is_empty());
        let Some(path) = path else {
            let mut routes = self.routes.iter();
            let same =
                |(route, _): &&(Route, u32)| route.template() == resource && route.is_of(method);
            return Counted {
                endpoint: resource,
                units: routes.find(same).map_or(self.other, |(_, units)| *units),
            };
        };
        let path = template::segments(path);
        let mut routes = self.routes.iter();
        let fitting = routes.find(|(route, _)| route.is_of(method) && route.template.fits(&path));
        fitting.map_or(
            Counted {
                endpoint: OTHER,
                units: self.other,
            },
            |(route, units)| Counted {
                endpoint: route.template(),
                units: *units,
            },
        )
    }

    /// The value of a variable of the template that matches a call on `path`, decoded; `None` if the
    /// template has no such variable.
    pub fn variable(&self, method: &str, path: &str, name: &str) -> Option<Vec<u8>> {
        let path = template::segments(path);
        let mut routes = self.routes.iter();
        let (route, _) =
            routes.find(|(route, _)| route.is_of(method) && route.template.fits(&path))?;
        route.template.variable(&path, name)
    }

    /// The table as a function's environment variable: empty for no routes, deflated if that is
    /// shorter, because a function's variables share 4 KB.
    pub fn to_variable(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut text = self.other.to_string();
        for (route, units) in &self.routes {
            let _ = write!(text, " {route} {units}");
        }
        match deflate(text.as_bytes()) {
            Some(deflated) => {
                let packed = format!("z{}:{}", text.len(), BASE64.encode(&deflated));
                if packed.len() < text.len() {
                    packed
                } else {
                    text
                }
            }
            None => text,
        }
    }

    /// Reads what [`Routes::to_variable`] wrote.
    pub fn from_variable(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let Some(packed) = text.strip_prefix('z') else {
            return Self::from_text(text);
        };
        let (length, packed) = packed.split_once(':')?;
        let length = length.parse().ok().filter(|length| *length <= LARGEST)?;
        let bytes = inflate(&BASE64.decode(packed).ok()?, length)?;
        Self::from_text(&String::from_utf8(bytes).ok()?)
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let other = words.next()?.parse().ok()?;
        let mut routes = Vec::new();
        while let Some(method) = words.next() {
            let route = Route::new(method, words.next()?).ok()?;
            routes.push((route, words.next()?.parse().ok()?));
        }
        Self::new(routes, other).ok()
    }
}

/// Whether the gateway supports the method.
pub fn is_method(method: &str) -> bool {
    method != ANY && METHODS.contains(&method)
}
