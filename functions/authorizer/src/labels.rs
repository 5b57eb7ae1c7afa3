//! The dimensions of a call, read from its request.
//!
//! Callers choose the values: one that is too long, is not text, or could be a key counts as `other`.

use std::borrow::Cow;

use domain::dimension::{Label, Source, is_value};
use domain::route::{GREEDY, OTHER, Routes, is_catch_all};

use crate::event::Origin;
use crate::request::Request;

impl Origin {
    /// The values of the declared dimensions that a call carries, by name.
    pub(crate) fn labels(&self, request: &Request) -> Vec<Label<'static>> {
        let declared = self.dimensions.0.iter();
        let labels = declared.filter_map(|(name, declared)| {
            let value = self.value(request, &declared.source)?;
            let is_shown = is_value(&value) && !request.is_key(&value);
            let value = if is_shown { &value } else { OTHER };
            Some(Label {
                name: name.clone().into(),
                value: value.to_owned().into(),
                values: declared.values,
            })
        });
        labels.collect()
    }

    /// The value at a source; `None` if there is none or it is empty.
    fn value<'r>(&self, request: &'r Request, source: &Source) -> Option<Cow<'r, str>> {
        let given = match source {
            Source::Header(name) => request.header(name),
            Source::Query(name) => request.query(name),
            Source::Path(name) => match self.templates(request) {
                Some(routes) => {
                    let (method, path) = (&request.http_method, &request.path);
                    let value = routes.variable(method, path, name)?;
                    return Some(match String::from_utf8(value) {
                        Ok(value) => Cow::Owned(value),
                        Err(_) => Cow::Borrowed(OTHER),
                    });
                }
                None => request.path_parameter(name),
            },
        };
        given.filter(|value| !value.is_empty()).map(Cow::Borrowed)
    }

    /// The file's templates, if they decide about the call; `None` if the gateway's own do.
    fn templates(&self, request: &Request) -> Option<&Routes> {
        let resource = request.resource.as_str();
        match self.attached.get(request.api_id()) {
            Some(routes) => is_catch_all(resource).then_some(routes),
            None => GREEDY.contains(&resource).then_some(&self.routes),
        }
    }
}

#[cfg(test)]
mod tests;
