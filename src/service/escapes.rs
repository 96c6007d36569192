//! Backslash escapes, as users of `kcat` know them: `\t`, `\n`, `\r`, `\0`, `\xHH`, `\\`.

/// The bytes that a text with escapes stands for.
///
/// # Errors
/// What is wrong with an escape, in one line.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let mut taken = 1;
        bytes.push(match escape.chars().next() {
            Some('t') => b'\t',
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('x') => {
                let digits = escape.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                taken = 3;
                digits
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                    .ok_or("\\x needs two hexadecimal digits, as in \\x1f")?
            }
            Some(other) => {
                let escape = format!("\\{other}").escape_debug().to_string().replacen("\\\\", "\\", 1);
                return Err(format!("{escape} is no escape; there are \\t \\n \\r \\0 \\xHH and \\\\"));
            }
            None => return Err("it ends with half an escape; a backslash is \\\\".to_owned()),
        });
        rest = &escape[taken..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_the_byte_that_it_names() {
        assert_eq!(unescape(r"a\tb\n\r\0\x00\xfF\\n é\x0ac").unwrap(), b"a\tb\n\r\0\0\xff\\n \xc3\xa9\nc");
        assert_eq!(unescape("").unwrap(), b"");
        assert_eq!(unescape("plain: 100 %").unwrap(), b"plain: 100 %");
    }

    #[test]
    fn what_is_none_is_told() {
        for (text, part) in [
            (r"a\", "half an escape"),
            (r"\x", "two hexadecimal digits"),
            (r"\x1", "two hexadecimal digits"),
            (r"\xg0", "two hexadecimal digits"),
            (r"\x+1", "two hexadecimal digits"),
            (r"\x1é", "two hexadecimal digits"),
            (r"\q", r"\q is no escape"),
            ("\\\u{1b}", "is no escape"),
        ] {
            let error = unescape(text).unwrap_err();
            assert!(error.contains(part) && !error.contains(char::is_control), "{text}: {error}");
        }
    }
}
