//! Answers by HTTP, as a client reads them.

use std::collections::BTreeMap;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// By their names in lower case.
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// The answer at the beginning, and how long it is.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn answer(bytes: &[u8], has_body: bool) -> Result<(Answer, usize), String> {
    let wrong = |what: &str| format!("{what}: {}", String::from_utf8_lossy(bytes));
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(|| wrong("no end"))?;
    let head = str::from_utf8(&bytes[..end]).map_err(|_| wrong("not UTF-8"))?;
    if head.replace("\r\n", "").contains(['\r', '\n']) {
        return Err(wrong("half a line break"));
    }
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or_else(|| wrong("no HTTP"))?;
    let (code, phrase) = status.split_once(' ').ok_or_else(|| wrong("no phrase"))?;
    if phrase.is_empty() {
        return Err(wrong("no phrase"));
    }
    let mut fields = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| wrong("no field"))?;
        if fields.insert(name.to_ascii_lowercase(), value.to_owned()).is_some() {
            return Err(wrong("a field is there twice"));
        }
    }
    let length: usize =
        fields.get("content-length").and_then(|length| length.parse().ok()).ok_or_else(|| wrong("no length"))?;
    let length = end + 4 + if has_body { length } else { 0 };
    let body = bytes.get(end + 4..length).ok_or_else(|| wrong("the body is cut off"))?;
    let body = String::from_utf8(body.to_vec()).map_err(|_| wrong("a body that is not UTF-8"))?;
    Ok((Answer { status: code.parse().map_err(|_| wrong("no status"))?, fields, body }, length))
}
