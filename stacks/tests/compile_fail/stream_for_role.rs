//! A stream's ARN where a role's is wanted.
use stacks::cfn::{Template, kinesis, lambda};

fn main() {
    let mut template = Template::new("");
    let stream = template.add("Stream", kinesis::Stream::new());
    let _ = lambda::Function::new(lambda::FunctionRequired {
        code: lambda::FunctionCode::new(),
        role: stream.arn(),
    });
}
