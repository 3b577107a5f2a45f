//! The messages on the `control` FIFO, daemon to shim.
//!
//! One line each: `"<type> <width> <height>\n"`, decimal (0.2 specification, section 3.4).
//!
//! | type | meaning |
//! | --- | --- |
//! | 0 | close the shim's write end of the process's stdin FIFO; width and height are 0 |
//! | 1 | set the terminal's size to width columns and height rows |
//! | 2 | Gantry: end, and leave the process to a successor; width and height are 0 |
//!
//! Unknown types are ignored and lines that do not parse are skipped, so both sides can be of different age.

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlMessage {
    /// Close the stdin FIFO's last write end on our side.
    CloseStdin,
    /// Set the terminal's size.
    Resize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// End as soon as no byte of a terminal is on its way, and leave the process as it is.
    HandOver,
}

/// The longest line that can mean something: three numbers of at most 20 digits.
pub const MAX_LINE_BYTES: usize = 64;

impl ControlMessage {
    /// The line, with its newline.
    #[must_use]
    pub fn encode(self) -> String {
        match self {
            Self::CloseStdin => "0 0 0\n".to_owned(),
            Self::Resize { width, height } => format!("1 {width} {height}\n"),
            Self::HandOver => "2 0 0\n".to_owned(),
        }
    }

    /// Reads one line without its newline; `None` for anything that is not a known message.
    #[must_use]
    pub fn decode(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
        let (kind, width, height) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        match kind {
            0 => Some(Self::CloseStdin),
            1 => {
                Some(Self::Resize { width: u16::try_from(width).ok()?, height: u16::try_from(height).ok()? })
            }
            2 => Some(Self::HandOver),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes() {
        let resize = ControlMessage::Resize { width: 80, height: 24 };
        for message in [ControlMessage::CloseStdin, resize, ControlMessage::HandOver] {
            let line = message.encode();
            assert_eq!(ControlMessage::decode(line.trim_end().as_bytes()), Some(message));
        }
    }

    #[test]
    fn garbage_is_nothing() {
        for line in ["", "1", "1 2", "x y z", "3 0 0", "1 70000 1", "-1 0 0", "\u{fffd}"] {
            assert_eq!(ControlMessage::decode(line.as_bytes()), None, "{line:?}");
        }
        assert_eq!(ControlMessage::decode(&[0xff, b' ', b'1']), None);
    }
}
