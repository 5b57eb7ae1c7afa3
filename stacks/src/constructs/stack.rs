//! One stack under construction: its template, its assets, and the permissions of its roles.

use std::collections::BTreeMap;

use super::grants::Grants;
use crate::FileAsset;
use crate::cfn::{self, Handle, LogicalId, Problem, Template, policy};
use crate::rules;

/// A stack under construction. Roles are written last, when all grants are known.
#[derive(Debug)]
pub struct Stack {
    name: String,
    template: Template,
    roles: Vec<Role>,
    assets: BTreeMap<String, FileAsset>,
}

/// A role that is not in the template yet.
#[derive(Debug)]
struct Role {
    id: LogicalId,
    service: &'static str,
    description: String,
    grants: Grants,
}

impl Stack {
    /// An empty stack.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            template: Template::new(description),
            roles: Vec::new(),
            assets: BTreeMap::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its template, for generated types without a construct.
    pub fn template(&mut self) -> &mut Template {
        &mut self.template
    }

    /// A role that a service assumes, and the grants that it will hold.
    pub fn role(
        &mut self,
        id: impl Into<LogicalId>,
        service: &'static str,
        description: impl Into<String>,
    ) -> (Handle<cfn::iam::Role>, Grants) {
        let id = id.into();
        let grants = Grants::default();
        self.roles.push(Role {
            id: id.clone(),
            service,
            description: description.into(),
            grants: grants.clone(),
        });
        (Handle::of(id), grants)
    }

    /// Records a file that must be published before the stack is deployed.
    pub fn asset(&mut self, asset: FileAsset) {
        self.assets.insert(asset.sha256.clone(), asset);
    }

    /// The template with every role, and the assets. The template holds the problems.
    pub fn into_parts(mut self) -> (String, Template, Vec<FileAsset>) {
        for role in std::mem::take(&mut self.roles) {
            add_role(&mut self.template, &role);
        }
        let assets = self.assets.into_values().collect();
        (self.name, self.template, assets)
    }

    /// The template's JSON, checked against the [rules](crate::rules).
    ///
    /// # Errors
    ///
    /// All problems.
    pub fn synthesise(self) -> Result<String, Vec<Problem>> {
        let (_, mut template, _) = self.into_parts();
        rules::check(&mut template);
        template.finish()
    }
}

fn add_role(template: &mut Template, role: &Role) {
    let statements = role.grants.statements();
    let reasons: Vec<&str> = statements
        .iter()
        .filter_map(policy::Statement::reason)
        .collect();
    let mut resource = cfn::iam::Role::new(policy::assumed_by(role.service))
        .description(role.description.as_str());
    if !statements.is_empty() {
        resource = resource.policies([cfn::iam::RolePolicy::new(cfn::iam::RolePolicyRequired {
            policy_name: "Grants".into(),
            policy_document: policy::document(statements.clone()),
        })]);
    }
    let handle = template.add(role.id.clone(), resource);
    for problem in statements.iter().flat_map(policy::Statement::problems) {
        template.problem(&role.id, problem);
    }
    if !reasons.is_empty() {
        template.explain(&handle, rules::ANY_RESOURCE, reasons.join("; "));
    }
}
