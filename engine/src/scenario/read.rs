//! From text to lines.

use super::expect::Expectation;
use crate::command::Envelope;
use crate::decode::Malformed;
use serde_json::Value;

/// A line that does something.
#[derive(Debug, Clone)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: usize,
    /// What it does.
    pub step: Step,
}

/// A command or an expectation.
#[derive(Debug, Clone)]
pub enum Step {
    /// A command, or why it is none: that is a refusal which `rejected` may expect.
    Command(Result<Envelope, Malformed>),
    /// An expectation.
    Expect(Expectation),
}

/// The file is not a scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ReadError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// Reads a scenario. Blank lines and lines that start with `#` are skipped.
///
/// # Errors
/// [`ReadError`] for an expectation that cannot be understood, and for a line that is no JSON object when no `rejected`
/// expectation follows it.
pub fn read(text: &str) -> Result<Vec<Line>, ReadError> {
    let mut lines = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let number = index.saturating_add(1);
        let trimmed = raw.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        lines.push(Line { number, step: read_line(number, trimmed)? });
    }
    for (place, line) in lines.iter().enumerate() {
        let Step::Command(Err(malformed)) = &line.step else { continue };
        let next = lines.get(place.saturating_add(1)).map(|next| &next.step);
        let expected = matches!(next, Some(Step::Expect(wanted)) if wanted.is_rejected());
        if malformed.code == crate::reject::Code::Malformed && !expected {
            return Err(ReadError { line: line.number, message: malformed.message.clone() });
        }
    }
    Ok(lines)
}

fn read_line(number: usize, text: &str) -> Result<Step, ReadError> {
    let expects = serde_json::from_str::<Value>(text).ok().filter(|value| value.get("expect").is_some());
    match expects {
        Some(Value::Object(fields)) => {
            let wanted = Expectation::new(fields).map_err(|message| ReadError { line: number, message })?;
            Ok(Step::Expect(wanted))
        }
        _ => Ok(Step::Command(Envelope::read(text))),
    }
}
