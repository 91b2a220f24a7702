//! Which options are understood (RFC 7252 sections 5.4.1, 5.4.3 and 5.4.5).
//!
//! An option that is unknown, too short, too long or repeated where it must not be is treated as
//! unrecognised: an elective one is taken away, a critical one spoils the message.

use super::block::Block;
use super::options::{Options, number};

/// What a message's options amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything critical is understood.
    Understood,
    /// This critical option is not.
    Unrecognised(u16),
    /// Asks for a proxy.
    Proxy,
    /// A Block option with the reserved size (RFC 7959 section 2.2: "MUST lead to 4.00").
    ReservedBlockSize,
}

/// Judges the options and takes away the elective ones that are not understood to the letter.
/// Unknown elective ones of any length stay: the rooms above look at what they know.
pub(super) fn judge(options: &mut Options) -> Verdict {
    let mut verdict = Verdict::Understood;
    let mut faulty = Vec::new();
    let mut previous = None;
    for (number, value) in options.iter() {
        let repeated = previous == Some(number);
        previous = Some(number);
        let critical = number & 1 == 1;
        let Some(rule) = Rule::of(number) else {
            if critical && verdict == Verdict::Understood {
                verdict = Verdict::Unrecognised(number);
            }
            continue;
        };
        if matches!(number, number::PROXY_URI | number::PROXY_SCHEME) {
            return Verdict::Proxy;
        }
        let fits = (rule.min..=rule.max).contains(&value.len()) && (rule.repeatable || !repeated);
        if !fits && critical {
            if verdict == Verdict::Understood {
                verdict = Verdict::Unrecognised(number);
            }
        } else if !fits {
            faulty.push((number, repeated));
        } else if matches!(number, number::BLOCK1 | number::BLOCK2)
            && Block::from_value(value).is_err()
            && verdict == Verdict::Understood
        {
            verdict = Verdict::ReservedBlockSize;
        }
    }
    for (number, repeated) in faulty {
        // Of a repeated option the first one counts (RFC 7252 section 5.4.5).
        let first = options
            .first(number)
            .filter(|_| repeated)
            .map(<[u8]>::to_vec);
        options.remove(number);
        if let Some(first) = first {
            options.add(number, &first);
        }
    }
    verdict
}

struct Rule {
    min: usize,
    max: usize,
    repeatable: bool,
}

impl Rule {
    fn of(number: u16) -> Option<Self> {
        let (min, max, repeatable) = match number {
            number::IF_MATCH => (0, 8, true),
            number::URI_HOST => (1, 255, false),
            number::ETAG => (1, 8, true),
            number::IF_NONE_MATCH => (0, 0, false),
            number::OBSERVE => (0, 3, false),
            number::URI_PORT => (0, 2, false),
            number::LOCATION_PATH => (0, 255, true),
            number::URI_PATH => (0, 255, true),
            number::CONTENT_FORMAT => (0, 2, false),
            number::MAX_AGE => (0, 4, false),
            number::URI_QUERY => (0, 255, true),
            number::ACCEPT => (0, 2, false),
            number::LOCATION_QUERY => (0, 255, true),
            number::BLOCK2 | number::BLOCK1 => (0, 3, false),
            number::SIZE2 | number::SIZE1 => (0, 4, false),
            number::PROXY_URI => (1, 1034, false),
            number::PROXY_SCHEME => (1, 255, false),
            number::ECHO => (1, 40, false),
            number::NO_RESPONSE => (0, 1, false),
            number::REQUEST_TAG => (0, 8, true),
            _ => return None,
        };
        Some(Self {
            min,
            max,
            repeatable,
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn options(all: &[(u16, &str)]) -> Options {
        let bytes = all
            .iter()
            .map(|(number, value)| (*number, value.as_bytes()));
        bytes.collect()
    }

    #[rstest]
    #[case::the_uri(&[(3, "host"), (7, "\x16\x33"), (11, "rd"), (15, "ep=a"), (17, "\x28")])]
    #[case::an_unknown_elective_one(&[(65000, "anything")])]
    #[case::oma_style_numbers(&[(11, "rd"), (252, "echo"), (292, "tag")])]
    fn these_are_understood(#[case] all: &[(u16, &str)]) {
        let mut judged = options(all);
        assert_eq!(judge(&mut judged), Verdict::Understood);
        assert_eq!(judged, options(all));
    }

    #[rstest]
    #[case::oscore(9)]
    #[case::q_block1(19)]
    #[case::q_block2(31)]
    #[case::never_heard_of(65_001)]
    fn unknown_critical_ones_are_not(#[case] number: u16) {
        let mut judged = options(&[(number, "")]);
        assert_eq!(judge(&mut judged), Verdict::Unrecognised(number));
    }

    #[rstest]
    #[case::an_empty_host(&[(3, "")], 3)]
    #[case::a_port_of_three_bytes(&[(7, "\x01\x02\x03")], 7)]
    #[case::two_ports(&[(7, "\x01"), (7, "\x01")], 7)]
    #[case::an_accept_of_three_bytes(&[(17, "\x01\x02\x03")], 17)]
    #[case::a_block_of_four_bytes(&[(27, "\0\0\0\x01")], 27)]
    fn critical_ones_out_of_form_are_unrecognised(
        #[case] all: &[(u16, &str)],
        #[case] number: u16,
    ) {
        assert_eq!(judge(&mut options(all)), Verdict::Unrecognised(number));
    }

    #[test]
    fn elective_ones_out_of_form_are_taken_away() {
        let mut judged = options(&[(6, "\x01\x02\x03\x04"), (12, "\x01\x02\x03"), (11, "a")]);
        assert_eq!(judge(&mut judged), Verdict::Understood);
        assert_eq!(judged, options(&[(11, "a")]));
    }

    #[test]
    fn of_a_repeated_elective_one_the_first_counts() {
        let mut judged = options(&[(14, "\x01"), (14, "\x02"), (14, "\x03")]);
        assert_eq!(judge(&mut judged), Verdict::Understood);
        assert_eq!(judged, options(&[(14, "\x01")]));
    }

    #[test]
    fn a_proxy_is_recognised_whatever_else_is_wrong() {
        let mut judged = options(&[(9, ""), (35, "coap://other/")]);
        assert_eq!(judge(&mut judged), Verdict::Proxy);
    }

    #[test]
    fn a_block_of_the_reserved_size_is_its_own_verdict() {
        let mut judged = options(&[(27, "\x07")]);
        assert_eq!(judge(&mut judged), Verdict::ReservedBlockSize);
    }
}
