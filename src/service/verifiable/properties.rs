//! Java's properties files, by the rules of `java.util.Properties`.
//!
//! A line is a name and a value, put apart by `=`, `:` or blanks; `#` and `!` begin comments; a backslash at the end
//! continues a line; `\t`, `\n`, `\r`, `\f` and `\uXXXX` are what they are in Java, and any other `\c` is `c`. Bytes are
//! ISO 8859-1, so that whatever is beyond it has to be written as `\uXXXX`.

/// The names and values, in their order.
///
/// # Errors
/// What is wrong, with the number of the line. Values stay out of it: they may be secret.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = (1..).zip(text.split('\n'));
    let mut pairs = Vec::new();
    while let Some((number, line)) = lines.next() {
        let mut whole = line.trim_start_matches(is_blank).to_owned();
        if whole.is_empty() || whole.starts_with(['#', '!']) {
            continue;
        }
        while continues(&whole) {
            whole.pop();
            let Some((_, next)) = lines.next() else { break };
            whole.push_str(next.trim_start_matches(is_blank));
        }
        pairs.push(pair(&whole).map_err(|why| format!("line {number}: {why}"))?);
    }
    Ok(pairs)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Whether an odd number of backslashes ends it.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn pair(line: &str) -> Result<(String, String), String> {
    let mut escaped = false;
    let end = line.find(|c| {
        let ends = !escaped && (is_blank(c) || matches!(c, '=' | ':'));
        escaped = !escaped && c == '\\';
        ends
    });
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_blank);
    Ok((unescape(name)?, unescape(value)?))
}

fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    // Halves of a surrogate pair come one after the other.
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text.chars();
    loop {
        let next = rest.next();
        let unit = match next {
            Some('\\') => match rest.next() {
                Some('u') => {
                    let digits = rest.as_str().get(..4).filter(|four| four.bytes().all(|d| d.is_ascii_hexdigit()));
                    let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
                    rest = rest.as_str().get(4..).unwrap_or_default().chars();
                    Ok(unit.ok_or("\\u needs four hexadecimal digits")?)
                }
                Some('t') => Err(Some('\t')),
                Some('n') => Err(Some('\n')),
                Some('r') => Err(Some('\r')),
                Some('f') => Err(Some('\u{c}')),
                other => Err(other),
            },
            other => Err(other),
        };
        match unit {
            Ok(unit) => units.push(unit),
            Err(c) => {
                for c in char::decode_utf16(units.drain(..)) {
                    plain.push(c.map_err(|_| "half a character in \\u")?);
                }
                plain.extend(c);
            }
        }
        if next.is_none() {
            return Ok(plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(c).unwrap()).collect();
        parse(&bytes).unwrap()
    }

    fn owned(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// What `java.util.Properties` reads from the same text.
    #[test]
    fn the_rules_are_javas() {
        let text = "# comment\n  ! another\n\na=1\n b = 2 \nc:3\nd 4\ne\nf=\ng==x\nh\\ i\\:\\=j = k=l:m\n\
            long=one,\\\n   two,\\\r\n\tthree\nslash=a\\\\\nn=x\\ty\\n\\q\nu=\\u00e9\\uD83D\\uDE00!\nv= \\ w\nz=é\\";
        assert_eq!(
            pairs(text),
            owned(&[
                ("a", "1"),
                ("b", "2 "),
                ("c", "3"),
                ("d", "4"),
                ("e", ""),
                ("f", ""),
                ("g", "=x"),
                ("h i:=j", "k=l:m"),
                ("long", "one,two,three"),
                ("slash", "a\\"),
                ("n", "x\ty\nq"),
                ("u", "é😀!"),
                ("v", " w"),
                ("z", "é"),
            ])
        );
        assert_eq!(pairs(""), []);
        assert_eq!(pairs("\r\ra=1\rb=2"), owned(&[("a", "1"), ("b", "2")]));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_the_value() {
        for (text, expected) in [
            (&b"a=1\nb=\\u12"[..], "line 2: \\u needs four hexadecimal digits"),
            (b"\\u+123=1", "line 1: \\u needs four hexadecimal digits"),
            (b"a=\\uD83D!", "line 1: half a character in \\u"),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
    }
}
