//! Endpoint names of simulated devices.

use crate::domain::{EndpointName, InvalidName};

/// The name of the device with this number: the prefix and the number, or without a prefix
/// `urn:imei:` and the 15 digits of [`imei`].
///
/// # Errors
/// The prefix holds what a name cannot, or is too long.
pub fn endpoint_name(prefix: Option<&str>, number: u64) -> Result<EndpointName, InvalidName> {
    match prefix {
        Some(prefix) => EndpointName::new(&format!("{prefix}{number}")),
        None => EndpointName::new(&format!("urn:imei:{}", imei(number))),
    }
}

/// 15 digits that form a valid IMEI (3GPP TS 23.003 section 6.2.1): 35, the number with twelve
/// digits, and the check digit. Numbers beyond twelve digits begin again.
pub fn imei(number: u64) -> String {
    let body = format!("35{:012}", number % 1_000_000_000_000);
    let check = luhn(&body);
    format!("{body}{check}")
}

/// The digit that makes the sum of Luhn's algorithm a multiple of ten.
fn luhn(body: &str) -> u32 {
    let sum: u32 = body
        .chars()
        .rev()
        .filter_map(|digit| digit.to_digit(10))
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 if digit > 4 => digit * 2 - 9,
            0 => digit * 2,
            _ => digit,
        })
        .sum();
    (10 - sum % 10) % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_digit_is_that_of_a_known_imei() {
        assert_eq!(luhn("49015420323751"), 8);
        assert_eq!(luhn("35000000000001"), 4);
    }

    #[test]
    fn names_are_imeis_or_the_prefix_and_a_number() {
        let name = |prefix, number| endpoint_name(prefix, number).expect("a name").to_string();
        assert_eq!(name(None, 1), "urn:imei:350000000000014");
        assert_eq!(name(Some("pump-"), 12), "pump-12");
        assert_eq!(imei(u64::MAX).len(), 15);
        assert!(endpoint_name(Some(&"x".repeat(255)), 1).is_err());
    }
}
