//! Rows that are requests in turn: what the origin says, what the client asks, what must come back.

use std::time::Duration;

use super::{Stage, ensure};
use crate::client::{Request, Response};
use crate::origin::Answer;

/// What must hold after a step.
#[derive(Debug, Clone)]
enum Expect {
    /// The origin was asked so many times more.
    Asked(usize),
    /// The status is one of these.
    Status(Vec<u16>),
    /// The body is the origin's nth own answer for the target.
    AnswerNumber(usize),
    /// The body, to the byte.
    Body(Vec<u8>),
    /// A field has this value.
    Field(&'static str, String),
    /// A field contains this.
    Contains(&'static str, String),
    /// A field is not there.
    Absent(&'static str),
    /// `Age` is within.
    Age(i64, i64),
    /// The origin's last request had this field; with this value where one is given.
    Saw(&'static str, Option<String>),
    /// The origin's last request did not have this field.
    DidNotSee(&'static str),
}

/// One request of a row.
#[derive(Debug, Clone)]
pub struct Step {
    method: &'static str,
    suffix: &'static str,
    fields: Vec<(&'static str, String)>,
    answer: Option<Answer>,
    pause: Duration,
    expects: Vec<Expect>,
}

impl Step {
    /// A GET of the row's path.
    pub(super) fn get() -> Self {
        Self::method("GET")
    }

    /// This method on the row's path.
    pub(super) fn method(method: &'static str) -> Self {
        Self {
            method,
            suffix: "",
            fields: Vec::new(),
            answer: None,
            pause: Duration::ZERO,
            expects: Vec::new(),
        }
    }

    /// With this after the row's path: more of the path, or a query.
    pub(super) fn of(mut self, suffix: &'static str) -> Self {
        self.suffix = suffix;
        self
    }

    /// The request has this field.
    pub(super) fn asking(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    /// From this step on the origin says this.
    pub(super) fn answer(mut self, answer: Answer) -> Self {
        self.answer = Some(answer);
        self
    }

    /// So many milliseconds after the step before.
    pub(super) fn after_ms(mut self, ms: u64) -> Self {
        self.pause = Duration::from_millis(ms);
        self
    }

    fn expect(mut self, expect: Expect) -> Self {
        self.expects.push(expect);
        self
    }

    /// The origin is not asked.
    pub(super) fn hit(self) -> Self {
        self.expect(Expect::Asked(0))
    }

    /// The origin is asked once.
    pub(super) fn forwarded(self) -> Self {
        self.expect(Expect::Asked(1))
    }

    /// The status.
    pub(super) fn status(self, status: u16) -> Self {
        self.expect(Expect::Status(vec![status]))
    }

    /// The status is one of these.
    pub(super) fn status_of(self, statuses: &[u16]) -> Self {
        self.expect(Expect::Status(statuses.to_vec()))
    }

    /// The body is the origin's nth own answer.
    pub(super) fn number(self, number: usize) -> Self {
        self.expect(Expect::AnswerNumber(number))
    }

    /// The body, to the byte.
    pub(super) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        self.expect(Expect::Body(body.into()))
    }

    /// A field has this value.
    pub(super) fn field(self, name: &'static str, value: &str) -> Self {
        self.expect(Expect::Field(name, value.to_owned()))
    }

    /// A field contains this.
    pub(super) fn contains(self, name: &'static str, part: &str) -> Self {
        self.expect(Expect::Contains(name, part.to_owned()))
    }

    /// A field is not there.
    pub(super) fn absent(self, name: &'static str) -> Self {
        self.expect(Expect::Absent(name))
    }

    /// `Age` is within, seconds.
    pub(super) fn age(self, min: i64, max: i64) -> Self {
        self.expect(Expect::Age(min, max))
    }

    /// The origin is asked once, with this field.
    pub(super) fn forwarded_with(self, name: &'static str) -> Self {
        self.forwarded().expect(Expect::Saw(name, None))
    }

    /// The origin's last request had this field with this value.
    pub(super) fn saw(self, name: &'static str, value: &str) -> Self {
        self.expect(Expect::Saw(name, Some(value.to_owned())))
    }

    /// The origin's last request did not have this field.
    pub(super) fn did_not_see(self, name: &'static str) -> Self {
        self.expect(Expect::DidNotSee(name))
    }
}

/// Runs the steps in turn, to the first that does not hold.
pub(super) async fn run(stage: &Stage, steps: &[Step]) -> Result<(), String> {
    for (at, step) in steps.iter().enumerate() {
        run_step(stage, step)
            .await
            .map_err(|fault| format!("step {}: {fault}", at + 1))?;
    }
    Ok(())
}

async fn run_step(stage: &Stage, step: &Step) -> Result<(), String> {
    tokio::time::sleep(step.pause).await;
    let target = format!("{}{}", stage.path, step.suffix);
    let path = target.split('?').next().unwrap_or_default().to_owned();
    if let Some(answer) = &step.answer {
        stage.origin.answer(&path, answer.clone());
    }
    let before = stage.origin.seen(&path).len();
    let mut request = Request::new(step.method, &target);
    for (name, value) in &step.fields {
        request = request.with(name, &crate::origin::with_dates(value));
    }
    let response = stage.send(&request).await?;
    let asked = stage.origin.seen(&path).len() - before;
    for expect in &step.expects {
        check(expect, stage, &path, &target, asked, &response)?;
    }
    Ok(())
}

fn check(
    expect: &Expect,
    stage: &Stage,
    path: &str,
    target: &str,
    asked: usize,
    response: &Response,
) -> Result<(), String> {
    match expect {
        Expect::Asked(times) => ensure(asked == *times, || {
            format!("the origin was asked {asked} times, not {times}")
        }),
        Expect::Status(statuses) => ensure(statuses.contains(&response.status), || {
            format!("answered {}, not one of {statuses:?}", response.status)
        }),
        Expect::AnswerNumber(number) => {
            let wanted = format!("{target} answer {number}");
            ensure(response.text() == wanted, || {
                format!("the body is {:?}, not {wanted:?}", shortened(response))
            })
        }
        Expect::Body(body) => ensure(response.body == *body && response.is_complete, || {
            format!(
                "the body is {:?} ({} bytes, complete: {}), not the {} bytes expected",
                shortened(response),
                response.body.len(),
                response.is_complete,
                body.len()
            )
        }),
        Expect::Field(name, value) => {
            let found = response.fields.joined(name);
            ensure(found == *value, || {
                format!("{name} is {found:?}, not {value:?}")
            })
        }
        Expect::Contains(name, part) => {
            let found = response.fields.joined(name);
            ensure(found.contains(part.as_str()), || {
                format!("{name} is {found:?}, without {part:?}")
            })
        }
        Expect::Absent(name) => match response.fields.get(name) {
            None => Ok(()),
            Some(found) => Err(format!("{name} is there: {found:?}")),
        },
        Expect::Age(min, max) => match response.age_s() {
            Some(age) if (*min..=*max).contains(&age) => Ok(()),
            age => Err(format!("Age is {age:?}, not {min} to {max}")),
        },
        Expect::Saw(name, value) => {
            let seen = stage.origin.seen(path).pop().ok_or("never asked")?;
            let found = seen.fields.get(name);
            let is_so = match value {
                None => found.is_some(),
                Some(value) => seen.fields.joined(name) == *value,
            };
            ensure(is_so, || {
                format!("the origin saw {name}: {found:?}, expected {value:?}")
            })
        }
        Expect::DidNotSee(name) => {
            let seen = stage.origin.seen(path).pop().ok_or("never asked")?;
            ensure(seen.fields.get(name).is_none(), || {
                format!("the origin saw {name}")
            })
        }
    }
}

fn shortened(response: &Response) -> String {
    response.text().chars().take(80).collect()
}
