//! Datagrams as rows of DTLS records (RFC 6347 section 4.1), and what is in those without keys as rows of
//! handshake messages (section 4.2.2). Nothing of them is proven.

/// A record that is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    head: &'a [u8; HEAD],
    /// The connection id that it is for (RFC 9146 section 4); empty in one of another type.
    pub(super) cid: &'a [u8],
    pub(super) body: &'a [u8],
}

impl Record<'_> {
    /// The content type.
    pub(super) fn kind(&self) -> u8 {
        let [kind, ..] = *self.head;
        kind
    }

    /// Whether it is of DTLS 1.0 or 1.2; hellos may bear either.
    pub(super) fn is_dtls(&self) -> bool {
        matches!(self.head, [_, 0xfe, 0xff | 0xfd, ..])
    }

    /// Whether it is of DTLS 1.2.
    pub(super) fn is_dtls_1_2(&self) -> bool {
        matches!(self.head, [_, 0xfe, 0xfd, ..])
    }

    /// Under which keys it is; 0: none.
    pub(super) fn epoch(&self) -> u16 {
        let [_, _, _, high, low, ..] = *self.head;
        u16::from_be_bytes([high, low])
    }

    /// Its number within the epoch.
    pub(super) fn sequence(&self) -> u64 {
        let [_, _, _, _, _, s5, s4, s3, s2, s1, s0] = *self.head;
        u64::from_be_bytes([0, 0, s5, s4, s3, s2, s1, s0])
    }

    /// All of its bytes, under another number of 48 bits.
    pub(super) fn numbered(&self, sequence: u64) -> Vec<u8> {
        let mut head = *self.head;
        let [_, _, _, _, _, place @ ..] = &mut head;
        *place = number(sequence);
        // It was read from a record, where it has two bytes.
        let length = u16::try_from(self.body.len()).unwrap_or(u16::MAX);
        [&head, self.cid, &length.to_be_bytes(), self.body].concat()
    }
}

/// A number as it stands in a record.
pub(super) fn number(sequence: u64) -> [u8; 6] {
    let [_, _, number @ ..] = sequence.to_be_bytes();
    number
}

/// A record without keys.
pub(super) fn plain(kind: u8, sequence: u64, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let mut record = Vec::with_capacity(RECORD_HEADER + body.len());
    record.extend([kind, 0xfe, 0xfd, 0, 0]);
    record.extend(number(sequence));
    record.extend(length.to_be_bytes());
    record.extend(body);
    record
}

/// The records of a datagram, up to one that is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records<'a> {
    rest: &'a [u8],
    /// Bytes of the connection ids in it.
    cid: usize,
}

impl<'a> Records<'a> {
    /// Where no connection ids are in use.
    pub(super) fn of(datagram: &'a [u8]) -> Self {
        Self::with_cid(datagram, 0)
    }

    /// Where ours have so many bytes; records do not say it.
    pub(super) fn with_cid(datagram: &'a [u8], cid: usize) -> Self {
        Self {
            rest: datagram,
            cid,
        }
    }

    /// What was not read yet; at the end, what is no whole record.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The epoch of the next record, also of one that is cut behind its header.
    pub(super) fn next_epoch(&self) -> Option<u16> {
        let (head, after) = self.rest.split_first_chunk()?;
        after.split_at_checked(2)?;
        let (cid, body) = (&[][..], &[][..]);
        Some(Record { head, cid, body }.epoch())
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (head, after) = self.rest.split_first_chunk::<HEAD>()?;
        let [kind, ..] = *head;
        let (cid, after) = after.split_at_checked(if kind == CID { self.cid } else { 0 })?;
        let (length, after) = after.split_first_chunk()?;
        let (body, rest) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        self.rest = rest;
        Some(Record { head, cid, body })
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

/// Bytes of type, version, epoch and number.
pub(super) const HEAD: usize = 11;
/// Bytes before the body of a record without a connection id.
pub(super) const RECORD_HEADER: usize = HEAD + 2;
/// Bytes before that of a fragment.
pub(super) const MESSAGE_HEADER: usize = 12;
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;
/// `tls12_cid`: a record with a connection id, whose own type is encrypted (RFC 9146 section 4).
pub(super) const CID: u8 = 25;
/// The types of handshake messages (RFC 5246 section 7.4).
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const FINISHED: u8 = 20;
pub(super) const HELLO_REQUEST: u8 = 0;
