//! The one error type: what failed, on what, what the user can do, and the chain of causes.

use std::fmt;

use crate::Timestamp;

/// A result with the project's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of thing went wrong, for programs that must decide; the message is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The job or its configuration cannot run as asked.
    Configuration,
    /// The machine refused: a file, a directory, a core, a thread.
    Io,
    /// Input or stored bytes are not what their format promises.
    Format,
    /// A user's function returned an error or panicked.
    User,
    /// A value does not fit its type.
    Overflow,
    /// Another part of the job failed or the job was aborted.
    Cancelled,
    /// The engine broke a promise of its own.
    Internal,
}

/// An error of Tailwater: opaque, with a [`kind`](Error::kind) and a chain of causes.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a lowercase message that says what failed, on what, and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), cause: None }))
    }

    /// The job or its configuration cannot run as asked.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Configuration, message)
    }

    /// Input or stored bytes are not what their format promises.
    pub fn format(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Format, message)
    }

    /// A value does not fit its type.
    pub fn overflow(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Overflow, message)
    }

    /// The engine broke a promise of its own.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// The machine refused: `message` says on what, `cause` why.
    pub fn io(message: impl Into<String>, cause: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, message).caused_by(cause)
    }

    /// A user's function failed on the record at `at` in `operator`.
    pub fn user(
        operator: &str,
        at: Timestamp,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let at = if at.is_some() { format!("the record at {at}") } else { "a record".to_owned() };
        Self::new(ErrorKind::User, format!("operator `{operator}` failed on {at}")).caused_by(cause)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The same kind of error, told from further out: `context` becomes the message, this the
    /// cause.
    #[must_use]
    pub fn context(self, context: impl Into<String>) -> Self {
        Self::new(self.kind(), context).caused_by(self)
    }

    /// What sort of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    /// The message, then each cause after a colon: the whole story in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_ref().map(|cause| &**cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_in_one_line() {
        let error = Error::user("parse", Timestamp(17), "not a price").context("job `vwap` failed");
        assert_eq!(error.kind(), ErrorKind::User);
        assert_eq!(
            error.to_string(),
            "job `vwap` failed: operator `parse` failed on the record at 17: not a price"
        );
    }
}
