//! CSV (RFC 4180): two columns and no header.
//!
//! Everything that the RFC's grammar does not allow is an error. This is stricter than most
//! readers, because a stray quote, if accepted, can swallow entries. There are two extensions: a
//! line can end with LF alone, and empty lines are skipped.

use std::borrow::Cow;

use super::error::{Mistake, TableError};

/// Byte order mark, which spreadsheets write at the start of UTF-8 files.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Passes every record of `text` to `each`, in order.
///
/// # Errors
/// [`TableError::Line`], with the line on which the invalid record or field begins.
pub(super) fn parse(
    text: &str,
    mut each: impl FnMut(&str, &str) -> Result<(), Mistake>,
) -> Result<(), TableError> {
    let mut reader = Reader::new(text);
    while let Some(record) = reader.next()? {
        each(&record.key, &record.value).map_err(|mistake| TableError::Line {
            line: record.line,
            mistake: match mistake {
                Mistake::Repeated { key, .. } => Mistake::Repeated {
                    first: line_of(text, &key),
                    key,
                },
                mistake => mistake,
            },
        })?;
    }
    Ok(())
}

/// Formats a field for a file, and quotes it if necessary.
pub(super) fn field(text: &str) -> Cow<'_, str> {
    let needs_quotes = text.contains(['"', ',', '\r', '\n']) || text.starts_with(BYTE_ORDER_MARK);
    if needs_quotes {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns the number of the first line that has this key; 0 if there is none.
fn line_of(text: &str, key: &str) -> usize {
    let mut reader = Reader::new(text);
    while let Ok(Some(record)) = reader.next() {
        if record.key == key {
            return record.line;
        }
    }
    0
}

struct Record<'t> {
    line: usize,
    key: Cow<'t, str>,
    value: Cow<'t, str>,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// Number of the line that contains `at`, counted from 1.
    line: usize,
}

/// The end of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Comma,
    Line,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Reader<'t> {
        Reader {
            text: text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text),
            at: 0,
            line: 1,
        }
    }

    fn next(&mut self) -> Result<Option<Record<'t>>, TableError> {
        loop {
            match self.text.as_bytes()[self.at..] {
                [] => return Ok(None),
                [b'\n', ..] => self.at += 1,
                [b'\r', b'\n', ..] => self.at += 2,
                _ => return self.record().map(Some),
            }
            self.line += 1;
        }
    }

    fn record(&mut self) -> Result<Record<'t>, TableError> {
        let line = self.line;
        let columns = |count| TableError::Line {
            line,
            mistake: Mistake::Columns(count),
        };
        let (key, end) = self.field()?;
        if end == End::Line {
            return Err(columns(1));
        }
        let (value, mut end) = self.field()?;
        let mut count = 2;
        while end == End::Comma {
            count += 1;
            end = self.field()?.1;
        }
        if count > 2 {
            return Err(columns(count));
        }
        Ok(Record { line, key, value })
    }

    fn field(&mut self) -> Result<(Cow<'t, str>, End), TableError> {
        if self.text[self.at..].starts_with('"') {
            self.quoted()
        } else {
            self.plain()
        }
    }

    fn plain(&mut self) -> Result<(Cow<'t, str>, End), TableError> {
        let rest = &self.text[self.at..];
        let is_special = |byte: &u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
        let length = rest.bytes().position(|byte| is_special(&byte));
        let length = length.unwrap_or(rest.len());
        if rest[length..].starts_with('"') {
            return Err(self.error(Mistake::Quote));
        }
        self.at += length;
        let end = self.end(Mistake::CarriageReturn)?;
        Ok((Cow::Borrowed(&rest[..length]), end))
    }

    /// Reads a quoted field, starting at its opening quote.
    fn quoted(&mut self) -> Result<(Cow<'t, str>, End), TableError> {
        let begin = self.line;
        let rest = &self.text[self.at + 1..];
        let mut length = 0;
        let mut has_quotes = false;
        loop {
            let Some(quote) = rest[length..].find('"') else {
                return Err(TableError::Line {
                    line: begin,
                    mistake: Mistake::OpenQuote,
                });
            };
            length += quote;
            if !rest[length + 1..].starts_with('"') {
                break;
            }
            has_quotes = true;
            length += 2;
        }
        let field = &rest[..length];
        self.at += length + 2;
        self.line += field.bytes().filter(|byte| *byte == b'\n').count();
        let end = self.end(Mistake::AfterQuote)?;
        let field = if has_quotes {
            Cow::Owned(field.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(field)
        };
        Ok((field, end))
    }

    /// Moves past the separator after a field. `otherwise` is the error if the field does not end
    /// here.
    fn end(&mut self, otherwise: Mistake) -> Result<End, TableError> {
        match self.text.as_bytes()[self.at..] {
            [] => return Ok(End::Line),
            [b',', ..] => {
                self.at += 1;
                return Ok(End::Comma);
            }
            [b'\n', ..] => self.at += 1,
            [b'\r', b'\n', ..] => self.at += 2,
            _ => return Err(self.error(otherwise)),
        }
        self.line += 1;
        Ok(End::Line)
    }

    fn error(&self, mistake: Mistake) -> TableError {
        TableError::Line {
            line: self.line,
            mistake,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut records: Vec<(String, String)> = Vec::new();
        let parsed = parse(text, |key, value| {
            if records.iter().any(|(known, _)| known == key) {
                let key = key.to_owned();
                return Err(Mistake::Repeated { key, first: 0 });
            }
            records.push((key.to_owned(), value.to_owned()));
            Ok(())
        });
        parsed.map_err(|error| error.to_string())?;
        Ok(records)
    }

    #[test]
    fn records() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let expected = expected
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            assert_eq!(read(text), Ok(expected.collect()), "{text:?}");
        };
        check("", &[]);
        check("a,b", &[("a", "b")]);
        check("a,b\n", &[("a", "b")]);
        check("a,b\r\nc,d\r\n", &[("a", "b"), ("c", "d")]);
        check("a,b\nc,d", &[("a", "b"), ("c", "d")]);
        check("\n\r\na,b\n\nc,d\n\n", &[("a", "b"), ("c", "d")]);
        check("a,\n", &[("a", "")]);
        check("a,\"\"\n", &[("a", "")]);
        check(",b\n", &[("", "b")]);
        check(" a , b \n", &[(" a ", " b ")]);
        check("\"a\",\"b\"", &[("a", "b")]);
        check("\"a,b\",c", &[("a,b", "c")]);
        check("\"a\"\"b\",\"\"\"\"", &[("a\"b", "\"")]);
        check(
            "\"a\nb\",\"c\r\nd\"\ne,f",
            &[("a\nb", "c\r\nd"), ("e", "f")],
        );
        check("\u{feff}a,b", &[("a", "b")]);
        check("\u{feff}\"a\",b", &[("a", "b")]);
        check("münchen,ü", &[("münchen", "ü")]);
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expected: &str| {
            assert_eq!(read(text), Err(expected.to_owned()), "{text:?}");
        };
        let columns = "but two are needed: a key and a value";
        check("a\n", &format!("line 1: there is one column, {columns}"));
        check(
            "a,b\n\nc",
            &format!("line 3: there is one column, {columns}"),
        );
        check("a,b,c", &format!("line 1: there are 3 columns, {columns}"));
        check("a,b,", &format!("line 1: there are 3 columns, {columns}"));
        check("a;b\n", &format!("line 1: there is one column, {columns}"));
        let quote =
            "a quote is inside an unquoted field: enclose the field in quotes and double the quote";
        check("x,y\na\"b\",c", &format!("line 2: {quote}"));
        check("a,b\"\n", &format!("line 1: {quote}"));
        let after =
            "text follows the quote that ends a field: double a quote that belongs to the field";
        check("\"a\"b,c", &format!("line 1: {after}"));
        check("\"a\n\"b,c", &format!("line 2: {after}"));
        check("\"a\" ,c", &format!("line 1: {after}"));
        let open = "the quoted field that begins here has no closing quote";
        check("x,y\n\"a,b\nc,d\n", &format!("line 2: {open}"));
        check("\"a\"\",b", &format!("line 1: {open}"));
        check("\"", &format!("line 1: {open}"));
        let carriage =
            "no line feed follows a carriage return: enclose the field in quotes if it has one";
        check("a,b\rc,d", &format!("line 1: {carriage}"));
        check("a,b\r", &format!("line 1: {carriage}"));
        check(
            "\"x\ny\",1\nb,2\n\"x\ny\",3",
            "line 4: the key `x\\ny` is already on line 1",
        );
    }

    proptest! {
        /// Every file that is written can be read back.
        #[test]
        fn written_and_read(pairs in vec(("[a\"\r\n,ü\u{feff}]{1,4}", "[b\"\r\n, ]{0,4}"), 0..8)) {
            let mut pairs = pairs;
            pairs.sort();
            pairs.dedup_by(|a, b| a.0 == b.0);
            let mut text = String::new();
            for (key, value) in &pairs {
                text.extend([&field(key), ",", &field(value), "\n"]);
            }
            prop_assert_eq!(read(&text), Ok(pairs));
        }

        /// No input causes a panic: each record has two fields or is an error.
        #[test]
        fn any_text(text in "[a,\"\r\n ]{0,12}") {
            let _ = read(&text);
        }
    }
}
