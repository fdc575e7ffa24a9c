//! How much of an attempt's log is kept: by its runner, by its site, and by whoever follows it.

/// Room for the lines of one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRoom {
    left: u64,
    cut: bool,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is kept.
    Kept,
    /// It is the first that is not: the log is cut here, which is to be said.
    Cut,
    /// It is not kept.
    Dropped,
}

impl LogRoom {
    /// What a line counts beside the bytes of its text: an empty one takes room, too.
    pub const LINE: u64 = 128;

    /// Room for so many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self {
            left: bytes,
            cut: false,
        }
    }

    /// Takes a line, while there is room for it.
    pub fn take(&mut self, text: &str) -> Taken {
        let length = (text.len() as u64).saturating_add(Self::LINE);
        if let Some(left) = self.left.checked_sub(length) {
            self.left = left;
            return Taken::Kept;
        }
        match self.close() {
            true => Taken::Cut,
            false => Taken::Dropped,
        }
    }

    /// Takes nothing more, whatever room there is; true the first time.
    pub fn close(&mut self) -> bool {
        self.left = 0;
        !std::mem::replace(&mut self.cut, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_once_and_a_shorter_line_does_not_slip_in_behind() {
        let mut room = LogRoom::new(2 * LogRoom::LINE + 6);
        let taken = ["four", "12", "", "x"].map(|text| room.take(text));
        assert_eq!(
            taken,
            [Taken::Kept, Taken::Kept, Taken::Cut, Taken::Dropped]
        );
        let mut room = LogRoom::new(LogRoom::LINE + 3);
        assert_eq!(room.take("four"), Taken::Cut);
        assert_eq!(room.take(""), Taken::Dropped);
    }

    #[test]
    fn a_closed_log_takes_nothing() {
        let mut room = LogRoom::new(1 << 20);
        assert!(room.close());
        assert!(!room.close());
        assert_eq!(room.take(""), Taken::Dropped);
    }
}
