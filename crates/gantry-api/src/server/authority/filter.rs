//! The filter itself: HTTP/2 frames in, HTTP/2 frames out (RFC 9113, sections 3.4, 4.1, 6.2, 6.10; RFC 7541).
//!
//! Header blocks that are written anew use no table: every field is a literal without indexing. So the decoder
//! behind this filter needs no table either, and the client's own is followed here.

use loona_hpack::Decoder;
use std::fmt;
use std::io;
use tonic::codegen::http::uri::Authority;

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`.
const PREFACE_BYTES: usize = 24;
const FRAME_HEADER_BYTES: usize = 9;
/// The largest frame that a client may send before it is told otherwise (SETTINGS_MAX_FRAME_SIZE).
const MAX_FRAME_BYTES: usize = 16 << 10;
/// The most that one header block may take, encoded and decoded: far more than any gRPC client sends, far less
/// than a bomb.
const MAX_BLOCK_BYTES: usize = 64 << 10;

/// The size of a client's table (SETTINGS_HEADER_TABLE_SIZE): the server behind us does not offer another one.
const TABLE_BYTES: usize = 4096;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

const REPLACEMENT: &[u8] = b"localhost";

/// What is to become of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is to be filtered on.
    Filter,
    /// It needs no filter any more.
    PassThrough,
}

/// See the module.
pub(super) struct Filter {
    /// What came in and was not yet understood.
    input: Vec<u8>,
    preface_left: usize,
    /// Bytes of a frame's content that go through as they are.
    pass_left: usize,
    /// A header block of which more is to come.
    block: Option<Block>,
    decoder: Decoder<'static>,
    /// Whether the first header block called for writing all of them anew.
    rewriting: bool,
}

struct Block {
    stream: [u8; 4],
    end_stream: bool,
    fragments: Vec<u8>,
    /// The frames as they came.
    raw: Vec<u8>,
}

impl Default for Filter {
    fn default() -> Self {
        let mut decoder = Decoder::new();
        // Without it the client's word alone would say how much is kept for it.
        decoder.set_max_allowed_table_size(TABLE_BYTES);
        Self {
            input: Vec::new(),
            preface_left: PREFACE_BYTES,
            pass_left: 0,
            block: None,
            decoder,
            rewriting: false,
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").field("rewriting", &self.rewriting).finish_non_exhaustive()
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Filter {
    /// What is left over when the connection ends.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// Takes in what was read and appends to `output` what is to be read in its place.
    pub(super) fn push(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> io::Result<Next> {
        self.input.extend_from_slice(bytes);
        loop {
            self.pass(output);
            if self.preface_left > 0 || self.pass_left > 0 || self.input.len() < FRAME_HEADER_BYTES {
                return Ok(Next::Filter);
            }
            let length = usize::from(self.input[0]) << 16
                | usize::from(self.input[1]) << 8
                | usize::from(self.input[2]);
            let kind = self.input[3];
            if self.block.is_some() && kind != CONTINUATION {
                return Err(invalid("a header block is interrupted by another frame"));
            }
            if !matches!(kind, HEADERS | CONTINUATION) {
                self.pass_left = FRAME_HEADER_BYTES + length;
                continue;
            }
            if length > MAX_FRAME_BYTES {
                return Err(invalid("a header frame is larger than allowed"));
            }
            if self.input.len() < FRAME_HEADER_BYTES + length {
                return Ok(Next::Filter);
            }
            let frame: Vec<u8> = self.input.drain(..FRAME_HEADER_BYTES + length).collect();
            if self.header_frame(frame)? && self.finish_block(output)? == Next::PassThrough {
                output.append(&mut self.input);
                return Ok(Next::PassThrough);
            }
        }
    }

    /// Moves on what needs no understanding.
    fn pass(&mut self, output: &mut Vec<u8>) {
        for left in [&mut self.preface_left, &mut self.pass_left] {
            let count = (*left).min(self.input.len());
            output.extend(self.input.drain(..count));
            *left -= count;
        }
    }

    /// Takes in a frame of a header block; returns whether it was the last.
    fn header_frame(&mut self, frame: Vec<u8>) -> io::Result<bool> {
        let (header, content) = frame.split_at(FRAME_HEADER_BYTES);
        let (kind, flags) = (header[3], header[4]);
        let stream = [header[5], header[6], header[7], header[8]];
        if kind == HEADERS {
            let fragment = without_padding(content, flags)?.to_vec();
            let end_stream = flags & END_STREAM != 0;
            self.block = Some(Block { stream, end_stream, fragments: fragment, raw: frame });
        } else {
            let Some(block) = self.block.as_mut().filter(|block| block.stream == stream) else {
                return Err(invalid("a continuation without its header frame"));
            };
            block.fragments.extend_from_slice(content);
            block.raw.extend_from_slice(&frame);
        }
        match &self.block {
            Some(block) if block.raw.len() > MAX_BLOCK_BYTES => {
                Err(invalid("a header block is larger than allowed"))
            }
            _ => Ok(flags & END_HEADERS != 0),
        }
    }

    /// Decides on the connection at its first block, and writes this and later ones anew if need be.
    fn finish_block(&mut self, output: &mut Vec<u8>) -> io::Result<Next> {
        let Some(block) = self.block.take() else { return Ok(Next::Filter) };
        let mut fields = Vec::new();
        let mut authority_is_valid = true;
        let mut size = 0;
        let decoded = self.decoder.decode_with_cb(&block.fragments, |name, value| {
            size += name.len() + value.len();
            if size > MAX_BLOCK_BYTES {
                return;
            }
            let is_authority = *name == *b":authority";
            if is_authority && Authority::try_from(&*value).is_err() {
                authority_is_valid = false;
                literal(&name, REPLACEMENT, &mut fields);
            } else {
                literal(&name, &value, &mut fields);
            }
        });
        decoded.map_err(|_| invalid("a header block cannot be decoded"))?;
        if size > MAX_BLOCK_BYTES {
            return Err(invalid("a header block is larger than allowed"));
        }
        if authority_is_valid && !self.rewriting {
            output.extend_from_slice(&block.raw);
            return Ok(Next::PassThrough);
        }
        self.rewriting = true;
        write_frames(&block, &fields, output);
        Ok(Next::Filter)
    }
}

/// The fragment of a header block in a HEADERS frame's content.
fn without_padding(content: &[u8], flags: u8) -> io::Result<&[u8]> {
    let short = || invalid("a header frame is shorter than it says");
    let (content, padding) = if flags & PADDED == 0 {
        (content, 0)
    } else {
        let (padding, content) = content.split_first().ok_or_else(short)?;
        (content, usize::from(*padding))
    };
    let content = if flags & PRIORITY == 0 { content } else { content.get(5..).ok_or_else(short)? };
    content.get(..content.len().checked_sub(padding).ok_or_else(short)?).ok_or_else(short)
}

/// A literal field without indexing, with a new name (RFC 7541, section 6.2.2).
fn literal(name: &[u8], value: &[u8], into: &mut Vec<u8>) {
    into.push(0);
    for string in [name, value] {
        // A prefix of seven bits; the eighth would say that it is Huffman coded.
        integer(string.len(), into);
        into.extend_from_slice(string);
    }
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn integer(mut value: usize, into: &mut Vec<u8>) {
    const PREFIX: usize = 0x7f;
    let low = |value: usize| value.to_le_bytes()[0];
    if value < PREFIX {
        into.push(low(value));
        return;
    }
    into.push(low(PREFIX));
    value -= PREFIX;
    while value >= 0x80 {
        into.push(low(value & 0x7f) | 0x80);
        value >>= 7;
    }
    into.push(low(value));
}

fn write_frames(block: &Block, fields: &[u8], output: &mut Vec<u8>) {
    let mut chunks = fields.chunks(MAX_FRAME_BYTES).peekable();
    let mut kind = HEADERS;
    // A block without any field is still a frame.
    let mut chunk = chunks.next().unwrap_or_default();
    loop {
        let mut flags = if kind == HEADERS && block.end_stream { END_STREAM } else { 0 };
        if chunks.peek().is_none() {
            flags |= END_HEADERS;
        }
        output.extend_from_slice(&chunk.len().to_be_bytes()[size_of::<usize>() - 3..]);
        output.extend_from_slice(&[kind, flags]);
        output.extend_from_slice(&block.stream);
        output.extend_from_slice(chunk);
        match chunks.next() {
            Some(next) => chunk = next,
            None => return,
        }
        kind = CONTINUATION;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, content: &[u8]) -> Vec<u8> {
        let mut frame = content.len().to_be_bytes()[size_of::<usize>() - 3..].to_vec();
        frame.extend_from_slice(&[kind, flags, 0, 0, 0, stream]);
        frame.extend_from_slice(content);
        frame
    }

    const SOCKET: &str = "/var/run/docker/libcontainerd/docker-containerd.sock";

    /// POST (static index 3), a path, and an authority that enters the table (static name 1), as clients encode.
    fn first_request(authority: &str) -> Vec<u8> {
        let mut block = vec![0x83];
        literal(b":path", b"/a", &mut block);
        block.push(0x41);
        integer(authority.len(), &mut block);
        block.extend_from_slice(authority.as_bytes());
        block
    }

    fn start(authority: &str) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, b""));
        bytes.extend(frame(HEADERS, END_HEADERS, 1, &first_request(authority)));
        bytes
    }

    fn push_slowly(filter: &mut Filter, bytes: &[u8]) -> (Vec<u8>, Next) {
        let mut output = Vec::new();
        let mut next = Next::Filter;
        for (at, byte) in bytes.iter().enumerate() {
            if next == Next::PassThrough {
                output.extend_from_slice(&bytes[at..]);
                break;
            }
            next = filter.push(std::slice::from_ref(byte), &mut output).unwrap();
        }
        (output, next)
    }

    /// The header blocks in a stream of frames after the preface, decoded without any table's memory.
    fn blocks(bytes: &[u8]) -> Vec<Vec<(String, String)>> {
        let mut rest = &bytes[PREFACE_BYTES..];
        let mut blocks = Vec::new();
        while !rest.is_empty() {
            let length = usize::from(rest[1]) << 8 | usize::from(rest[2]);
            let (frame, after) = rest.split_at(FRAME_HEADER_BYTES + length);
            if frame[3] == HEADERS {
                let fields = Decoder::new().decode(&frame[FRAME_HEADER_BYTES..]).unwrap();
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
                blocks.push(fields.into_iter().map(|(name, value)| (text(name), text(value))).collect());
            }
            rest = after;
        }
        blocks
    }

    #[test]
    fn a_good_authority_passes_untouched() {
        let bytes = [start("localhost"), frame(0, 1, 1, b"data")].concat();
        let (output, next) = push_slowly(&mut Filter::default(), &bytes);
        assert_eq!((output, next), (bytes, Next::PassThrough));
    }

    #[test]
    fn a_path_becomes_localhost_in_every_request() {
        let mut bytes = start(SOCKET);
        bytes.extend(frame(0, 1, 1, b"data"));
        // The second request refers to the first one's authority by its index in the table.
        let mut second = vec![0x83];
        literal(b":path", b"/b", &mut second);
        second.push(0x80 | 62);
        let (one, two) = second.split_at(2);
        bytes.extend(frame(HEADERS, PADDED | PRIORITY, 3, &[&[2, 0, 0, 0, 0, 9], one, &[0, 0]].concat()));
        bytes.extend(frame(CONTINUATION, END_HEADERS, 3, two));
        let (output, next) = push_slowly(&mut Filter::default(), &bytes);
        assert_eq!(next, Next::Filter);
        let blocks = blocks(&output);
        assert_eq!(blocks.len(), 2);
        for (block, path) in blocks.iter().zip(["/a", "/b"]) {
            assert_eq!(block[1], (":path".to_owned(), path.to_owned()));
            assert_eq!(block[2], (":authority".to_owned(), "localhost".to_owned()));
        }
    }

    #[test]
    fn a_table_stays_as_small_as_the_server_has_it() {
        // Dynamic table size updates (RFC 7541, section 6.3) to 4096 and to 1 MiB, before the first field.
        for (update, allowed) in [(&[0x3f, 0xe1, 0x1f][..], true), (&[0x3f, 0xe1, 0xff, 0x3f], false)] {
            let mut filter = Filter::default();
            filter.push(&start(SOCKET), &mut Vec::new()).unwrap();
            let block = [update, &first_request(SOCKET)].concat();
            let pushed = filter.push(&frame(HEADERS, END_HEADERS, 3, &block), &mut Vec::new());
            assert_eq!(pushed.is_ok(), allowed, "{pushed:?}");
        }
    }

    #[test]
    fn a_block_is_not_interrupted() {
        // RFC 9113, section 6.10. Here what came first would be lost, or come later than what interrupts it.
        for (kind, flags) in [(HEADERS, END_HEADERS), (0, 0), (4, 0)] {
            let mut filter = Filter::default();
            let bytes = [&start(SOCKET)[..], &frame(HEADERS, 0, 3, &[0x83]), &frame(kind, flags, 3, &[0x84])]
                .concat();
            let error = filter.push(&bytes, &mut Vec::new()).unwrap_err();
            assert!(error.to_string().contains("interrupted"), "{error}");
        }
    }

    #[test]
    fn long_fields_survive() {
        let long = "x".repeat(20_000);
        let mut output = Vec::new();
        let block = Block { stream: [0, 0, 0, 1], end_stream: true, fragments: vec![], raw: vec![] };
        let mut fields = Vec::new();
        literal(b"a", long.as_bytes(), &mut fields);
        write_frames(&block, &fields, &mut output);
        assert_eq!((output[3], output[4]), (HEADERS, END_STREAM));
        let second = FRAME_HEADER_BYTES + MAX_FRAME_BYTES;
        assert_eq!((output[second + 3], output[second + 4]), (CONTINUATION, END_HEADERS));
        let whole = [&output[FRAME_HEADER_BYTES..second], &output[second + FRAME_HEADER_BYTES..]].concat();
        assert_eq!(Decoder::new().decode(&whole).unwrap()[0].1.len(), 20_000);
    }

    #[test]
    fn bombs_and_nonsense_end_the_connection() {
        let push = |bytes: &[u8]| Filter::default().push(bytes, &mut Vec::new());
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let after = |frames: Vec<u8>| [preface.clone(), frames].concat();
        assert!(push(&after(frame(CONTINUATION, END_HEADERS, 1, b""))).is_err());
        assert!(push(&after(frame(HEADERS, END_HEADERS | PADDED, 1, &[200]))).is_err());
        assert!(push(&after(frame(HEADERS, END_HEADERS, 1, &[0xff; 50]))).is_err());
        // One long field in the table, then thousands of references of one byte to it.
        let mut bomb = vec![0x40, 1, b'a'];
        integer(3000, &mut bomb);
        bomb.extend_from_slice(&[b'x'; 3000]);
        bomb.extend_from_slice(&[0xbe; 8000]);
        assert!(push(&after(frame(HEADERS, END_HEADERS, 1, &bomb))).is_err());
    }
}
