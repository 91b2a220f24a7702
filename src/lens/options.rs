//! Options by their names, with values as people read them.

use super::secret::{MASK, is_unguessable, path_option};
use super::subject::LINK_FORMAT;
use crate::coap::{Block, Message, number};
use crate::domain::ContentFormat;

/// Name and value of each option.
pub(super) fn shown(message: &Message) -> Vec<(u16, String, String)> {
    let path_option = path_option(message.code);
    let path: Vec<&[u8]> = message.options.all(path_option).collect();
    let mut segment = 0;
    message
        .options
        .iter()
        .map(|(option, bytes)| {
            let mut value = value(option, bytes);
            if option == path_option {
                if is_unguessable(&path, segment) {
                    value = MASK.to_owned();
                }
                segment += 1;
            }
            (option, name(option), value)
        })
        .collect()
}

/// A content format by its number and its name.
pub(super) fn format(code: u16) -> String {
    let name = match code {
        LINK_FORMAT => "link format",
        code => match ContentFormat::from_code(code) {
            Some(format) => return format!("{} ({code})", format.name()),
            None => return code.to_string(),
        },
    };
    format!("{name} ({code})")
}

fn name(option: u16) -> String {
    let name = match option {
        number::IF_MATCH => "If-Match",
        number::URI_HOST => "Uri-Host",
        number::ETAG => "ETag",
        number::IF_NONE_MATCH => "If-None-Match",
        number::OBSERVE => "Observe",
        number::URI_PORT => "Uri-Port",
        number::LOCATION_PATH => "Location-Path",
        number::URI_PATH => "Uri-Path",
        number::CONTENT_FORMAT => "Content-Format",
        number::MAX_AGE => "Max-Age",
        number::URI_QUERY => "Uri-Query",
        number::ACCEPT => "Accept",
        number::LOCATION_QUERY => "Location-Query",
        number::BLOCK2 => "Block2",
        number::BLOCK1 => "Block1",
        number::SIZE2 => "Size2",
        number::PROXY_URI => "Proxy-Uri",
        number::PROXY_SCHEME => "Proxy-Scheme",
        number::SIZE1 => "Size1",
        number::ECHO => "Echo",
        number::NO_RESPONSE => "No-Response",
        number::REQUEST_TAG => "Request-Tag",
        other => return format!("option {other}"),
    };
    name.to_owned()
}

fn value(option: u16, bytes: &[u8]) -> String {
    let uint = || {
        let fits = bytes.len() <= 4;
        fits.then(|| {
            bytes
                .iter()
                .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte))
        })
    };
    let text = match option {
        number::URI_HOST
        | number::LOCATION_PATH
        | number::URI_PATH
        | number::URI_QUERY
        | number::LOCATION_QUERY
        | number::PROXY_SCHEME => std::str::from_utf8(bytes).ok().map(str::to_owned),
        // It may name an image, as a path does.
        number::PROXY_URI => Some(MASK.to_owned()),
        number::CONTENT_FORMAT | number::ACCEPT => {
            uint().map(|code| u16::try_from(code).map_or_else(|_| code.to_string(), format))
        }
        number::BLOCK1 | number::BLOCK2 => Block::from_value(bytes).ok().map(|block| {
            let more = if block.more { ", more follow" } else { "" };
            format!(
                "block {} of {} bytes{more}",
                block.number(),
                block.exponent.size()
            )
        }),
        number::MAX_AGE => uint().map(|seconds| format!("{seconds} s")),
        number::SIZE1 | number::SIZE2 => uint().map(|bytes| format!("{bytes} bytes")),
        number::OBSERVE | number::URI_PORT | number::NO_RESPONSE => {
            uint().map(|number| number.to_string())
        }
        _ => None,
    };
    match text {
        Some(text) => text,
        None if bytes.is_empty() => String::new(),
        None => hex::encode(bytes),
    }
}
