//! One stack under construction: its template, its assets, and the permissions of its roles.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::grants::Grants;
use crate::FileAsset;
use crate::cfn::policy::Statement;
use crate::cfn::{self, Handle, Json, LogicalId, Problem, Template, policy};
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
    /// The resource that assumes it.
    holder: LogicalId,
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

    /// The role `{holder}Role` that `service` assumes for the resource `holder`, and the grants that
    /// it will hold.
    pub fn role(
        &mut self,
        holder: impl Into<LogicalId>,
        service: &'static str,
        description: impl Into<String>,
    ) -> (Handle<cfn::iam::Role>, Grants) {
        let role = Role {
            holder: holder.into(),
            service,
            description: description.into(),
            grants: Grants::default(),
        };
        let handle = Handle::of(role.id());
        let grants = role.grants.clone();
        self.roles.push(role);
        (handle, grants)
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

impl Role {
    fn id(&self) -> LogicalId {
        LogicalId::from(format!("{}Role", self.holder))
    }
}

fn add_role(template: &mut Template, role: &Role) {
    let resource = cfn::iam::Role::new(policy::assumed_by(role.service))
        .description(role.description.as_str());
    let handle = template.add(role.id(), resource);
    let statements = role.grants.statements();
    if !statements.is_empty() {
        add_policy(template, role, &handle, statements);
    }
}

/// Adds the role's policy under an id that derives from its content. An update that changes the
/// grants therefore creates the new policy before it updates the holder, and deletes the old one
/// when it cleans up, after all updates: neither the old code nor the new ever lacks a permission.
fn add_policy(
    template: &mut Template,
    role: &Role,
    handle: &Handle<cfn::iam::Role>,
    statements: Vec<Statement>,
) {
    let reasons: Vec<&str> = statements.iter().filter_map(Statement::reason).collect();
    let reasons = reasons.join("; ");
    let problems: Vec<_> = statements.iter().flat_map(Statement::problems).collect();
    let document = policy::document(statements);
    let id = LogicalId::from(format!("{}Grants{}", role.holder, digest(&document)));
    let required = cfn::iam::PolicyRequired {
        policy_name: id.to_string().into(),
        policy_document: document,
    };
    let resource = cfn::iam::Policy::new(required).roles([handle.reference()]);
    let policy = template.add(id, resource);
    template.depends_on(&Handle::<cfn::iam::Role>::of(role.holder.clone()), &policy);
    for problem in problems {
        template.problem(&role.id(), problem);
    }
    if !reasons.is_empty() {
        template.explain(&policy, rules::ANY_RESOURCE, reasons);
    }
}

/// The first 32 bits of the document's SHA-256, in hexadecimal.
fn digest(document: &Json) -> String {
    let digest: [u8; 32] = Sha256::digest(document.0.to_string()).into();
    let [a, b, c, d, ..] = digest;
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}
