//! The permissions of a role, collected while the stack is built.

use std::cell::RefCell;
use std::rc::Rc;

use crate::cfn::policy::Statement;

/// The statements of one role. Clones share them: a grant to a [`Grantee`] reaches its role.
#[derive(Clone, Debug, Default)]
pub struct Grants(Rc<RefCell<Vec<Statement>>>);

/// A holder of a role, to which resources grant permissions.
pub trait Grantee {
    /// The permissions of its role.
    fn grants(&self) -> &Grants;
}

impl Grants {
    /// Adds a statement.
    pub fn allow(&self, statement: Statement) {
        self.0.borrow_mut().push(statement);
    }

    /// The statements granted so far, in order.
    pub(crate) fn statements(&self) -> Vec<Statement> {
        self.0.borrow().clone()
    }
}
