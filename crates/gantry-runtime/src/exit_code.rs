//! How a command ends, as a value: `std`'s cannot be asked for its number, which whoever runs a command in a fork needs.

/// The exit code of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExitCode(u8);

impl ExitCode {
    /// All went well.
    pub(crate) const SUCCESS: Self = Self(0);
    /// It failed, and has said why.
    pub(crate) const FAILURE: Self = Self(1);

    /// The number.
    pub(crate) fn number(self) -> u8 {
        self.0
    }
}

impl From<u8> for ExitCode {
    fn from(number: u8) -> Self {
        Self(number)
    }
}
