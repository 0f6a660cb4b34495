//! JSON as the protocol defines it: read by recursion, nothing borrowed.

use serde::Deserialize;
use serde_json::Value;

/// The maximum nesting of arrays and objects, inclusive.
const NESTING_MAX: usize = 128;

/// A string; none if an escape in it is an unpaired surrogate.
pub type Text = Option<String>;

/// Any JSON value. Keys are in the order of the text, and can occur twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(Text),
    Array(Vec<Json>),
    Object(Vec<(Text, Json)>),
}

impl Json {
    /// Reads a whole line. None: it is not well-formed.
    pub fn read(line: &[u8]) -> Option<Json> {
        let text = str::from_utf8(line).ok()?;
        let mut reader = Reader { rest: text };
        let value = reader.value(0)?;
        reader.skip_space();
        reader.rest.is_empty().then_some(value)
    }

    /// Whether any string in it, including keys, has an unpaired surrogate.
    pub fn has_half_pair(&self) -> bool {
        match self {
            Json::Null | Json::Bool(_) | Json::Number(_) => false,
            Json::Text(text) => text.is_none(),
            Json::Array(items) => items.iter().any(Json::has_half_pair),
            Json::Object(fields) => fields.iter().any(|(key, value)| key.is_none() || value.has_half_pair()),
        }
    }

    /// Whether it equals what `serde_json` has read.
    pub fn equals(&self, value: &Value) -> bool {
        match (self, value) {
            (Json::Null, Value::Null) => true,
            (Json::Bool(mine), Value::Bool(theirs)) => mine == theirs,
            (Json::Number(mine), Value::Number(theirs)) => Some(*mine) == theirs.as_f64(),
            (Json::Text(mine), Value::String(theirs)) => mine.as_ref() == Some(theirs),
            (Json::Array(mine), Value::Array(theirs)) => {
                mine.len() == theirs.len() && mine.iter().zip(theirs).all(|(mine, theirs)| mine.equals(theirs))
            }
            // The last one of a key that occurs twice.
            (Json::Object(mine), Value::Object(theirs)) => {
                mine.iter().all(|(key, _)| key.as_ref().is_some_and(|key| theirs.contains_key(key)))
                    && theirs.iter().all(|(key, theirs)| {
                        let mine = mine.iter().rfind(|(mine, _)| mine.as_ref() == Some(key));
                        mine.is_some_and(|(_, mine)| mine.equals(theirs))
                    })
            }
            _ => false,
        }
    }
}

/// The second opinion. `serde_json` has different rules in only two places, which are avoided: it rejects unpaired
/// surrogates, so it gets the line again without them, and it has its own limit on nesting.
pub fn assert_serde_agrees(line: &[u8], mine: Option<&Json>) {
    let depth = nesting(line);
    if depth > RECURSION_MAX {
        // Deeper nesting could overflow our stack.
        return assert!(mine.is_none());
    }
    let whole_pairs = without_surrogates(line);
    match (mine, by_serde(&whole_pairs)) {
        (Some(_), Some(theirs)) if depth <= NESTING_MAX => {
            let mine = Json::read(&whole_pairs).expect("the character of an escape changes nothing");
            assert!(mine.equals(&theirs), "read as {mine:?} and as {theirs:?}");
        }
        (None, None) => {}
        (None, Some(_)) if depth > NESTING_MAX => {}
        (mine, theirs) => panic!("read as {mine:?} and as {theirs:?}"),
    }
    let Some(mine) = mine else { return };
    match by_serde(line) {
        Some(theirs) => assert!(mine.equals(&theirs), "read as {mine:?} and as {theirs:?}"),
        None => assert!(mine.has_half_pair(), "serde_json rejects what was read as {mine:?}"),
    }
}

const RECURSION_MAX: usize = 1000;

fn by_serde(line: &[u8]) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    reader.disable_recursion_limit();
    let value = Value::deserialize(&mut reader).ok()?;
    reader.end().is_ok().then_some(value)
}

/// How deep arrays and objects are nested, if the line is well-formed.
fn nesting(line: &[u8]) -> usize {
    let (mut depth, mut deepest, mut is_text, mut bytes) = (0_usize, 0, false, line.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_text = !is_text,
            b'\\' => drop(bytes.next()),
            b'[' | b'{' if !is_text => depth += 1,
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The line with every escape of a surrogate, paired or not, replaced by another character.
fn without_surrogates(line: &[u8]) -> Vec<u8> {
    let (mut whole, mut rest) = (Vec::new(), line);
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        let (before, escape) = rest.split_at(at);
        whole.extend_from_slice(before);
        let length = match escape {
            [_, b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', x, y, ..]
                if x.is_ascii_hexdigit() && y.is_ascii_hexdigit() =>
            {
                whole.extend_from_slice(b"\\u0020");
                6
            }
            _ => {
                let length = escape.len().min(2);
                whole.extend_from_slice(&escape[..length]);
                length
            }
        };
        rest = &escape[length..];
    }
    whole.extend_from_slice(rest);
    whole
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, expected: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    fn next(&mut self) -> Option<char> {
        let mut rest = self.rest.chars();
        let character = rest.next()?;
        self.rest = rest.as_str();
        Some(character)
    }

    /// A value nested in `depth` others.
    fn value(&mut self, depth: usize) -> Option<Json> {
        self.skip_space();
        match self.rest.chars().next()? {
            '"' => self.text().map(Json::Text),
            '[' | '{' if depth == NESTING_MAX => None,
            '[' => self.items('[', ']', |reader| reader.value(depth + 1)).map(Json::Array),
            '{' => self.items('{', '}', |reader| reader.field(depth + 1)).map(Json::Object),
            '-' | '0'..='9' => self.number().map(Json::Number),
            _ => {
                let words = [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))];
                words.into_iter().find_map(|(word, value)| self.take(word).map(|()| value))
            }
        }
    }

    fn items<T>(&mut self, open: char, close: char, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        assert_eq!(self.next(), Some(open));
        let mut items = Vec::new();
        self.skip_space();
        if self.rest.starts_with(close) {
            self.next();
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            self.skip_space();
            match self.next()? {
                ',' => self.skip_space(),
                end if end == close => return Some(items),
                _ => return None,
            }
        }
    }

    fn field(&mut self, depth: usize) -> Option<(Text, Json)> {
        let key = self.text()?;
        self.skip_space();
        self.take(":")?;
        Some((key, self.value(depth)?))
    }

    fn digits(&mut self) -> Option<&str> {
        let length = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        (length > 0).then_some(digits)
    }

    fn number(&mut self) -> Option<f64> {
        let whole = self.rest;
        let _ = self.take("-");
        let digits = self.digits()?;
        if digits.len() > 1 && digits.starts_with('0') {
            return None;
        }
        if self.take(".").is_some() {
            self.digits()?;
        }
        if self.take("e").or_else(|| self.take("E")).is_some() {
            let _ = self.take("-").or_else(|| self.take("+"));
            self.digits()?;
        }
        let written = &whole[..whole.len() - self.rest.len()];
        written.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Outer none: not well-formed. Inner none: an unpaired surrogate.
    fn text(&mut self) -> Option<Text> {
        self.take("\"")?;
        let mut units: Vec<u16> = Vec::new();
        loop {
            match self.next()? {
                '"' => return Some(String::from_utf16(&units).ok()),
                '\\' => units.push(self.escape()?),
                '\0'..='\x1f' => return None,
                character => units.extend_from_slice(character.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        Some(match self.next()? {
            'u' => {
                let digits = self.rest.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
                self.rest = &self.rest[4..];
                u16::from_str_radix(digits, 16).expect("four hexadecimal digits")
            }
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            same @ ('"' | '\\' | '/') => same as u16,
            _ => return None,
        })
    }
}
