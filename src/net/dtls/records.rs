//! Datagrams as rows of DTLS records (RFC 6347 section 4.1), and what is in those without keys as rows of
//! handshake messages (section 4.2.2). Nothing of them is proven.

/// A record that is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    header: &'a [u8; RECORD_HEADER],
    pub(super) body: &'a [u8],
}

impl Record<'_> {
    /// The content type.
    pub(super) fn kind(&self) -> u8 {
        let [kind, ..] = *self.header;
        kind
    }

    /// Whether it is of DTLS 1.0 or 1.2; hellos may bear either.
    pub(super) fn is_dtls(&self) -> bool {
        matches!(self.header, [_, 0xfe, 0xff | 0xfd, ..])
    }

    /// Under which keys it is; 0: none.
    pub(super) fn epoch(&self) -> u16 {
        let [_, _, _, high, low, ..] = *self.header;
        u16::from_be_bytes([high, low])
    }

    /// Its number within the epoch.
    pub(super) fn sequence(&self) -> u64 {
        let [_, _, _, _, _, s5, s4, s3, s2, s1, s0, _, _] = *self.header;
        u64::from_be_bytes([0, 0, s5, s4, s3, s2, s1, s0])
    }

    /// All of its bytes, under another number of 48 bits.
    pub(super) fn numbered(&self, sequence: u64) -> Vec<u8> {
        let mut header = *self.header;
        let [_, _, _, _, _, place @ .., _, _] = &mut header;
        *place = number(sequence);
        [&header, self.body].concat()
    }
}

/// A number as it stands in a record.
pub(super) fn number(sequence: u64) -> [u8; 6] {
    let [_, _, number @ ..] = sequence.to_be_bytes();
    number
}

/// The records of a datagram, up to one that is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    pub(super) fn of(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }

    /// What was not read yet; at the end, what is no whole record.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The epoch of the next record, also of one that is cut behind its header.
    pub(super) fn next_epoch(&self) -> Option<u16> {
        let header = self.0.first_chunk()?;
        Some(Record { header, body: &[] }.epoch())
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (header, after) = self.0.split_first_chunk::<RECORD_HEADER>()?;
        let [.., high, low] = *header;
        let (body, rest) = after.split_at_checked(u16::from_be_bytes([high, low]).into())?;
        self.0 = rest;
        Some(Record { header, body })
    }
}

/// A handshake message, or a fragment of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    /// Of which type the message is.
    pub(super) kind: u8,
    /// Bytes of the whole message.
    pub(super) length: usize,
    /// The number of the message in its handshake.
    pub(super) message: u16,
    /// Where in the message this begins.
    pub(super) offset: usize,
    pub(super) body: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// The first one of a record's body, and what is behind it; nothing when it is cut.
    pub(super) fn of(body: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, after) = body.split_first_chunk::<MESSAGE_HEADER>()?;
        let [kind, l0, l1, l2, high, low, o0, o1, o2, f0, f1, f2] = *header;
        let [length, offset, here] = [[0, l0, l1, l2], [0, o0, o1, o2], [0, f0, f1, f2]]
            .map(|bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX));
        let (body, rest) = after.split_at_checked(here)?;
        let fragment = Self {
            kind,
            length,
            message: u16::from_be_bytes([high, low]),
            offset,
            body,
        };
        Some((fragment, rest))
    }

    /// False when it would go beyond the end of its message.
    pub(super) fn fits(&self) -> bool {
        self.offset.saturating_add(self.body.len()) <= self.length
    }
}

/// Bytes before the body of a record.
pub(super) const RECORD_HEADER: usize = 13;
/// Bytes before that of a fragment.
pub(super) const MESSAGE_HEADER: usize = 12;
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
