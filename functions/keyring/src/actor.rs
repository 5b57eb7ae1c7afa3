//! Who changes keys.

use domain::key::KeyRecord;

/// What an actor may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Someone with access to the AWS account, at the command line: every key.
    Operator,
    /// An administrator of the API: every key.
    Admin,
    /// A user: their own keys.
    User,
}

impl Role {
    /// The name in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::User => "user",
        }
    }
}

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name in the audit log. For a user it is the email that owns the keys.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

impl Actor {
    /// Whether the actor may manage everybody's keys.
    pub fn manages_all(&self) -> bool {
        self.role != Role::User
    }

    /// Whether the actor may see and change this key.
    pub fn may_manage(&self, key: &KeyRecord) -> bool {
        self.manages_all() || key.email == self.name
    }
}
