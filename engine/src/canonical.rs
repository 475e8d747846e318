//! One text for one JSON value, so that it can be hashed and compared byte for byte.
//!
//! The form is that of RFC 8785 as far as our documents go: no white space, the fields of an object in the order of their
//! names' UTF-16 units, strings escaped only where JSON demands it. Figures are strings, so the only numbers are whole
//! ones, written with their digits; any other number has no canonical form here.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The canonical text of a value; none when it holds a number that is not whole.
pub fn canonical(value: &Value) -> Option<String> {
    let mut text = String::new();
    write(value, &mut text)?;
    Some(text)
}

/// SHA-256 of the canonical text.
pub fn digest(value: &Value) -> Option<[u8; 32]> {
    canonical(value).map(|text| sha256(text.as_bytes()))
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Reads lower-case hex of exactly `N` bytes: the inverse of [`crate::fund::hex`].
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (place, [high, low]) in bytes.iter_mut().zip(pairs) {
        *place = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(bytes)
}

fn write(value: &Value, text: &mut String) -> Option<()> {
    match value {
        Value::Number(number) if !number.is_u64() && !number.is_i64() => return None,
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write(item, text)?;
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            text.push('{');
            for (place, (name, field)) in sorted.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                // `serde_json` escapes as RFC 8785 asks.
                text.push_str(&serde_json::to_string(name).ok()?);
                text.push(':');
                write(field, text)?;
            }
            text.push('}');
        }
        plain => text.push_str(&serde_json::to_string(plain).ok()?),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_fields_and_white_space_do_not_matter() {
        let read = |text: &str| canonical(&serde_json::from_str(text).unwrap());
        let sorted = r#"{"a":[1,{"x":null,"y":"é\n\u0001\"/"}],"b":true}"#;
        assert_eq!(read(sorted).as_deref(), Some(sorted));
        assert_eq!(
            read(r#" { "b" : true, "a" : [ 1, {"y":"\u00e9\n\u0001\"\/", "x":null} ] } "#).as_deref(),
            Some(sorted)
        );
        assert_eq!(read("[1.5]"), None);
        // RFC 8785, 3.2.3: by UTF-16 units, so that a surrogate pair comes before U+FB33.
        assert_eq!(read("{\"\u{fb33}\":1,\"\u{1f600}\":2}").unwrap(), "{\"\u{1f600}\":2,\"\u{fb33}\":1}");
    }

    #[test]
    fn hex_is_read_as_it_is_written_and_in_no_other_way() {
        assert_eq!(unhex::<2>("0aff"), Some([10, 255]));
        for bad in ["0AFF", "0af", "0aff0", "0aff00", "", "0ag0", "+aff"] {
            assert_eq!(unhex::<2>(bad), None, "{bad}");
        }
    }
}
