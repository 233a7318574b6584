//! Where one JSON-RPC message ends and the next begins: RFC 7047 has no framing but JSON's own.

use serde_json::Value;

/// The longest message: a reply with every row of a large database has some hundreds of kilobytes.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;
/// The deepest nesting of a message; OVSDB's own need about ten.
const MAX_DEPTH: u32 = 64;

/// Cuts a byte stream into JSON objects. Each byte is looked at once, however it is cut into reads.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: Vec<u8>,
    /// Up to where `buffer` was looked at.
    scanned: usize,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl Framer {
    /// Takes what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message; `None` until more was read. After an error the stream is of no more use.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, String> {
        if self.depth == 0 {
            let blank = self.buffer.iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.buffer.drain(..blank);
            match self.buffer.first() {
                None => return Ok(None),
                Some(b'{') => {}
                Some(other) => return Err(format!("a message begins with byte {other:#04x} instead of `{{`")),
            }
        }
        let Some(end) = self.scan()? else {
            if self.buffer.len() > MAX_MESSAGE {
                return Err(format!("a message is longer than {MAX_MESSAGE} bytes"));
            }
            return Ok(None);
        };
        if end > MAX_MESSAGE {
            return Err(format!("a message is longer than {MAX_MESSAGE} bytes"));
        }
        let message = self.buffer.get(..end).unwrap_or_default();
        let value = serde_json::from_slice(message).map_err(|e| format!("a message is not JSON: {e}"))?;
        self.buffer.drain(..end);
        self.scanned = 0;
        Ok(Some(value))
    }

    /// Looks for the brace that closes the message; returns the message's length.
    fn scan(&mut self) -> Result<Option<usize>, String> {
        while let Some(&byte) = self.buffer.get(self.scanned) {
            self.scanned += 1;
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(format!("a message is nested deeper than {MAX_DEPTH}"));
                    }
                }
                b'}' | b']' => {
                    // Never below zero: the scan begins at a brace and stops where depth comes back to zero.
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Ok(Some(self.scanned));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all(chunks: &[&[u8]]) -> Result<Vec<Value>, String> {
        let (mut framer, mut out) = (Framer::default(), Vec::new());
        for chunk in chunks {
            framer.push(chunk);
            while let Some(value) = framer.next()? {
                out.push(value);
            }
        }
        Ok(out)
    }

    const STREAM: &str = " {\"a\":[1,{\"b\":\"}\\\"]{\\\\\"}]}{}\n\n{\"二\":\"\\u005d\"}  ";

    #[test]
    fn messages_are_found_however_reads_are_cut() {
        let expected = vec![json!({"a": [1, {"b": "}\"]{\\"}]}), json!({}), json!({"二": "]"})];
        let bytes = STREAM.as_bytes();
        for i in 0..=bytes.len() {
            for j in i..=bytes.len() {
                assert_eq!(all(&[&bytes[..i], &bytes[i..j], &bytes[j..]]).as_ref(), Ok(&expected), "cut at {i}, {j}");
            }
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(all(&single), Ok(expected));
    }

    #[test]
    fn hostile_streams_end_in_an_error_or_wait() {
        for bad in ["x", "[1]", "null", "\"a\"", "}", "{]", "{\"a\":}", "{\"a\":1]", "{'a':1}", "\u{feff}{}"] {
            assert!(all(&[bad.as_bytes()]).is_err(), "{bad:?} was accepted");
        }
        assert!(all(&[b"{\"a\":\"\xff\"}"]).is_err());
        let bytes = STREAM.as_bytes();
        for i in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.to_vec();
                flipped[i] ^= 1 << bit;
                let _ = all(&[&flipped]);
            }
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(all(&[deep(63).as_bytes()]).is_ok());
        assert!(all(&[deep(64).as_bytes()]).unwrap_err().contains("nested"));
        assert!(all(&["{\"a\":[".repeat(1 << 16).as_bytes()]).unwrap_err().contains("nested"));
        let long = format!("{{\"a\":\"{}", "x".repeat(MAX_MESSAGE));
        assert!(all(&[long.as_bytes()]).unwrap_err().contains("longer"));
        assert!(all(&[long.as_bytes(), b"\"}"]).unwrap_err().contains("longer"));
    }
}
