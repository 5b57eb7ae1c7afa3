//! A function without a role.
use stacks::cfn::lambda;

fn main() {
    let _ = lambda::Function::new(lambda::FunctionRequired {
        code: lambda::FunctionCode::new(),
    });
}
