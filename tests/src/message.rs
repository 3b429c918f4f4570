//! HTTP/1.1 messages as they were received, for tests to inspect.
//!
//! The parser is lenient where a test wants to see what was sent, and strict about framing. `Wire`
//! calls it. It does not use the proxy's own parser.

use anyhow::{Context, bail};

/// A message's head: its start line and fields, as sent.
#[derive(Clone, Debug)]
pub struct Head {
    /// Every byte up to and including the blank line.
    pub raw: Vec<u8>,
    /// The first line, without its line end.
    pub start_line: String,
    /// Field lines in the order in which they were received: names as sent, values without
    /// surrounding blanks.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// Parses a head that ends with a blank line.
    ///
    /// # Errors
    /// Fails if a field line has no colon.
    pub(crate) fn parse(raw: Vec<u8>) -> anyhow::Result<Self> {
        let text = raw.clone();
        let mut lines = text
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let start_line = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let fields = lines
            .take_while(|line| !line.is_empty())
            .map(parse_field)
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            raw,
            start_line,
            fields,
        })
    }

    /// Returns the status code of a response.
    ///
    /// # Errors
    /// Fails if the start line is not a status line.
    pub fn status(&self) -> anyhow::Result<u16> {
        self.start_line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5))
            .and_then(|digits| digits.parse().ok())
            .with_context(|| format!("not a status line: {:?}", self.start_line))
    }

    /// Returns every value of the field `name`, ignoring the case of the name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }

    /// Returns the field's values joined by `, `; `None` if the field is absent.
    pub fn field(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.values(name).map(String::from_utf8_lossy).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// Returns how the body that follows is framed (RFC 9112, section 6.3).
    ///
    /// # Errors
    /// Fails if two readers could interpret the framing differently.
    pub(crate) fn framing(&self, role: Role<'_>) -> anyhow::Result<Framing> {
        if let Role::ResponseTo(method) = role {
            let status = self.status()?;
            if method == "HEAD" || status < 200 || status == 204 || status == 304 {
                return Ok(Framing::Length(0));
            }
        }
        let coding = self.field("transfer-encoding");
        let length = self.field("content-length");
        match (coding, length, role) {
            (Some(_), Some(_), _) => bail!("both Transfer-Encoding and Content-Length"),
            (Some(coding), None, _) if coding.eq_ignore_ascii_case("chunked") => {
                Ok(Framing::Chunked)
            }
            (Some(coding), None, _) => bail!("transfer coding {coding:?}"),
            (None, Some(length), _) => Ok(Framing::Length(
                length
                    .parse()
                    .with_context(|| format!("Content-Length {length:?}"))?,
            )),
            (None, None, Role::Request) => Ok(Framing::Length(0)),
            (None, None, Role::ResponseTo(_)) => Ok(Framing::UntilClose),
        }
    }
}

/// A whole message, with its body.
#[derive(Clone, Debug)]
pub struct Message {
    /// Start line and fields.
    pub head: Head,
    /// Content, after any chunked coding was removed.
    pub body: Vec<u8>,
    /// Trailer fields of a chunked body.
    pub trailers: Vec<(String, Vec<u8>)>,
}

/// The kind of message that a head belongs to.
#[derive(Clone, Copy)]
pub(crate) enum Role<'a> {
    Request,
    /// A response to a request with this method, on which the framing depends.
    ResponseTo(&'a str),
}

/// How the end of a body is determined.
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// Splits a field line at its colon.
pub(crate) fn parse_field(line: &[u8]) -> anyhow::Result<(String, Vec<u8>)> {
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .with_context(|| format!("no colon in {:?}", String::from_utf8_lossy(line)))?;
    let (name, value) = line.split_at(colon);
    Ok((
        String::from_utf8_lossy(name).into_owned(),
        value[1..].trim_ascii().to_vec(),
    ))
}
