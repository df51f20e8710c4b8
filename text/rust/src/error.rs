//! What can go wrong, in absl's terms.

/// Values of absl::StatusCode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    InvalidArgument = 3,
    FailedPrecondition = 9,
    Internal = 13,
}

#[derive(Debug)]
pub struct Error {
    pub code: Code,
    pub message: String,
}

impl Error {
    pub fn invalid(message: impl Into<String>) -> Self {
        Error { code: Code::InvalidArgument, message: message.into() }
    }
}

pub type Result<T> = std::result::Result<T, Error>;
