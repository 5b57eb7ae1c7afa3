//! A scripted CloudFormation for tests.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::events::{Progress, ResourceEvent};
use crate::session::Session;
use crate::stacks::Stacks;

/// One step: the requested action and its response.
pub(crate) type Step = (&'static str, ScriptedAnswer);

pub(crate) enum ScriptedAnswer {
    /// The stack, in this status.
    Stack(&'static str),
    /// The stack does not exist.
    Gone,
    /// Events, the newest first: resource, status, reason.
    Events(&'static [(&'static str, &'static str, &'static str)]),
    /// Success with an empty response.
    Done,
    /// A success with this content of the result.
    Xml(&'static str),
    /// A refusal: code and message.
    No(&'static str, &'static str),
    /// The connection ends without a response.
    Lost,
}

/// A CloudFormation that answers each action from its own script and repeats the last response.
pub(crate) struct Scripted {
    steps: Mutex<HashMap<&'static str, Vec<ScriptedAnswer>>>,
    asked: Mutex<Vec<String>>,
    bodies: Mutex<Vec<String>>,
}

impl Scripted {
    pub(crate) async fn start(steps: Vec<Step>) -> (Arc<Self>, Stacks) {
        let mut by_action: HashMap<&'static str, Vec<ScriptedAnswer>> = HashMap::new();
        for (action, answer) in steps {
            by_action.entry(action).or_default().push(answer);
        }
        let scripted = Arc::new(Self {
            steps: Mutex::new(by_action),
            asked: Mutex::default(),
            bodies: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let serving = Arc::clone(&scripted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = Arc::clone(&serving);
                tokio::spawn(async move { serving.serve(stream).await });
            }
        });
        let stacks = Stacks::new(&Session::embedded("ap-south-1", &endpoint));
        (scripted, stacks)
    }

    /// Sends one response, and closes the connection.
    async fn serve(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut part = [0; 4096];
        let body = loop {
            let Ok(read) = stream.read(&mut part).await else {
                return;
            };
            request.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&request).into_owned();
            if read == 0 {
                return;
            }
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                break body.to_owned();
            }
        };
        let action = body
            .split('&')
            .find_map(|pair| pair.strip_prefix("Action="));
        self.bodies.lock().unwrap().push(body.clone());
        let Some((status, xml)) = self.answer(action.unwrap()) else {
            return;
        };
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: text/xml\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{xml}",
            xml.len()
        );
        let _sent = stream.write_all(answer.as_bytes()).await;
    }

    fn answer(&self, action: &str) -> Option<(u16, String)> {
        self.asked.lock().unwrap().push(action.to_owned());
        let mut steps = self.steps.lock().unwrap();
        let steps = steps
            .get_mut(action)
            .unwrap_or_else(|| panic!("asked for {action}"));
        let answer = if steps.len() > 1 {
            &steps.remove(0)
        } else {
            &steps[0]
        };
        Some(match answer {
            ScriptedAnswer::Stack(status) => (200, stack(status)),
            ScriptedAnswer::Gone => refusal("ValidationError", "Stack with id S does not exist"),
            ScriptedAnswer::Events(all) => (200, events(all)),
            ScriptedAnswer::Done => (200, result(action, "")),
            ScriptedAnswer::Xml(content) => (200, result(action, content)),
            ScriptedAnswer::No(code, message) => refusal(code, message),
            ScriptedAnswer::Lost => return None,
        })
    }

    /// Every requested action, in order.
    pub(crate) fn order(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Whether a request of this action had this parameter.
    pub(crate) fn had(&self, action: &str, parameter: &str) -> bool {
        let bodies = self.bodies.lock().unwrap();
        let action = format!("Action={action}");
        let mut pairs = bodies
            .iter()
            .map(|body| body.split('&').collect::<Vec<_>>());
        pairs.any(|pairs| pairs.contains(&action.as_str()) && pairs.contains(&parameter))
    }

    pub(crate) fn asked(&self, action: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == action).count()
    }
}

fn result(action: &str, content: &str) -> String {
    format!("<{action}Response><{action}Result>{content}</{action}Result></{action}Response>")
}

fn stack(status: &str) -> String {
    format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>S</StackName>\
         <StackId>arn:S</StackId><CreationTime>2026-11-27T20:00:00Z</CreationTime>\
         <StackStatus>{status}</StackStatus></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )
}

fn events(all: &[(&str, &str, &str)]) -> String {
    let mut members = Vec::new();
    for (number, (resource, status, reason)) in all.iter().enumerate() {
        let kind = if *resource == "S" {
            "AWS::CloudFormation::Stack"
        } else {
            "AWS::SQS::Queue"
        };
        // One second apart.
        let second = all.len() - number;
        members.push(format!(
            "<member><StackId>arn:S</StackId><StackName>S</StackName><EventId>{}</EventId>\
             <LogicalResourceId>{resource}</LogicalResourceId><ResourceType>{kind}</ResourceType>\
             <ResourceStatus>{status}</ResourceStatus><ResourceStatusReason>{reason}</ResourceStatusReason>\
             <Timestamp>2026-11-27T20:00:{second:02}Z</Timestamp></member>",
            all.len() - number
        ));
    }
    format!(
        "<DescribeStackEventsResponse><DescribeStackEventsResult><StackEvents>{}</StackEvents>\
         </DescribeStackEventsResult></DescribeStackEventsResponse>",
        members.concat()
    )
}

fn refusal(code: &str, message: &str) -> (u16, String) {
    let xml = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>r</RequestId></ErrorResponse>"
    );
    (400, xml)
}

/// Records progress lines.
#[derive(Default)]
pub(crate) struct Messages(pub(crate) Mutex<Vec<String>>);

impl Progress for Messages {
    fn resource(&self, event: &ResourceEvent) {
        let took = event.took.map(|took| format!(", {} s", took.as_secs()));
        let place = event.place;
        let place = place.map(|(done, total)| format!(", {done} of {total}"));
        let line = format!(
            "{} {}{}{}",
            event.logical_id,
            event.status,
            took.unwrap_or_default(),
            place.unwrap_or_default()
        );
        self.0.lock().unwrap().push(line);
    }

    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}
