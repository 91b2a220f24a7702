//! Codes of CoAP messages (RFC 7252 section 12.1, RFC 8132, RFC 7959, RFC 9175).

use std::fmt;

/// A request method or response code, `class.detail`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u8);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $class:literal, $detail:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self::new($class, $detail);)*
        }
    };
}

codes! {
    /// 0.00, an empty message
    EMPTY = 0, 0;
    /// 0.01
    GET = 0, 1;
    /// 0.02
    POST = 0, 2;
    /// 0.03
    PUT = 0, 3;
    /// 0.04
    DELETE = 0, 4;
    /// 0.05
    FETCH = 0, 5;
    /// 0.06
    PATCH = 0, 6;
    /// 0.07
    IPATCH = 0, 7;
    /// 2.01
    CREATED = 2, 1;
    /// 2.02
    DELETED = 2, 2;
    /// 2.03
    VALID = 2, 3;
    /// 2.04
    CHANGED = 2, 4;
    /// 2.05
    CONTENT = 2, 5;
    /// 2.31
    CONTINUE = 2, 31;
    /// 4.00
    BAD_REQUEST = 4, 0;
    /// 4.01
    UNAUTHORIZED = 4, 1;
    /// 4.02
    BAD_OPTION = 4, 2;
    /// 4.03
    FORBIDDEN = 4, 3;
    /// 4.04
    NOT_FOUND = 4, 4;
    /// 4.05
    METHOD_NOT_ALLOWED = 4, 5;
    /// 4.06
    NOT_ACCEPTABLE = 4, 6;
    /// 4.08
    REQUEST_ENTITY_INCOMPLETE = 4, 8;
    /// 4.12
    PRECONDITION_FAILED = 4, 12;
    /// 4.13
    REQUEST_ENTITY_TOO_LARGE = 4, 13;
    /// 4.15
    UNSUPPORTED_CONTENT_FORMAT = 4, 15;
    /// 5.00
    INTERNAL_SERVER_ERROR = 5, 0;
    /// 5.01
    NOT_IMPLEMENTED = 5, 1;
    /// 5.03
    SERVICE_UNAVAILABLE = 5, 3;
    /// 5.05
    PROXYING_NOT_SUPPORTED = 5, 5;
}

impl Code {
    /// The code `class.detail`; only the low 3 and 5 bits count.
    pub const fn new(class: u8, detail: u8) -> Self {
        Self(((class & 7) << 5) | (detail & 31))
    }

    /// The code of this byte.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// The byte on the wire.
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// 0 for requests, 2 for success, 4 and 5 for errors.
    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    /// The part behind the dot.
    pub const fn detail(self) -> u8 {
        self.0 & 31
    }

    /// True for 0.01 to 0.31.
    pub const fn is_request(self) -> bool {
        self.class() == 0 && self.0 != 0
    }

    /// True for 2.xx, 4.xx and 5.xx.
    pub const fn is_response(self) -> bool {
        matches!(self.class(), 2 | 4 | 5)
    }

    /// True for 2.xx.
    pub const fn is_success(self) -> bool {
        self.class() == 2
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
