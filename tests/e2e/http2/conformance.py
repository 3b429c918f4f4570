"""Tests a proxy that speaks HTTP/2 without TLS against RFC 9113 and RFC 7541, with raw frames.

Usage: conformance.py HOST PORT, or --list. Prints a line for each case that fails; the exit
status is the number of these cases. The cases are those of h2spec, in our own words.
"""

import socket
import struct
import sys

import hpack

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
# Only the lenient cases wait this long; in all others the proxy responds at once.
TIMEOUT_S = 2
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL, INTERNAL, FLOW, TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION = range(10)

REQUEST = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")]
POST = [(":method", "POST")] + REQUEST[1:]


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def setting(number, value):
    return struct.pack(">HI", number, value)


class Peer:
    """A client connection, which has exchanged settings with the proxy."""

    def __init__(self, address, settings=b"", preface=True):
        self.socket = socket.create_connection(address, timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.buffer = b""
        self.settings = {}
        if preface:
            self.send(PREFACE + frame(SETTINGS, payload=settings))
            kind, flags, _, payload = self.next()
            assert kind == SETTINGS and not flags & ACK, "the proxy begins with SETTINGS"
            for at in range(0, len(payload), 6):
                number, value = struct.unpack(">HI", payload[at:at + 6])
                self.settings[number] = value
            self.send(frame(SETTINGS, ACK))
            self.wait(lambda f: f[0] == SETTINGS and f[1] & ACK, "an acknowledgement of SETTINGS")

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            # The proxy has already closed the connection; the caller reads what the proxy has sent.
            pass

    def read(self, count):
        while len(self.buffer) < count:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError
            self.buffer += piece
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def next(self):
        head = self.read(9)
        length = struct.unpack(">I", b"\0" + head[:3])[0]
        stream = struct.unpack(">I", head[5:])[0] & 0x7FFFFFFF
        return head[3], head[4], stream, self.read(length)

    def wait(self, wanted, what):
        while True:
            try:
                found = self.next()
            except (EOFError, ConnectionError, socket.timeout) as error:
                raise AssertionError(f"{what}, not {error!r}") from None
            if wanted(found):
                return found
            if found[0] == GOAWAY:
                raise AssertionError(f"{what}, not GOAWAY {struct.unpack('>II', found[3][:8])[1]}")

    def headers(self, stream=1, fields=REQUEST, flags=END_STREAM | END_HEADERS):
        self.send(frame(HEADERS, flags, stream, self.encoder.encode(fields)))

    def answer(self, stream=1):
        """Returns the status of a response, and its body."""
        _, flags, _, payload = self.wait(lambda f: f[0] == HEADERS and f[2] == stream, "a response")
        status = dict(self.decoder.decode(payload))[":status"]
        body = b""
        while not flags & END_STREAM:
            _, flags, _, payload = self.wait(lambda f: f[0] == DATA and f[2] == stream, "a body")
            body += payload
        return status, body

    def is_alive(self):
        self.send(frame(PING, payload=b"12345678"))
        found = self.wait(lambda f: f[0] == PING and f[1] & ACK, "an answer to PING")
        assert found[3] == b"12345678", "PING is answered with the same data"

    def fails(self, *codes):
        """Expects a connection error with one of these codes, or the end of the connection."""
        while True:
            try:
                kind, _, _, payload = self.next()
            except (EOFError, ConnectionError):
                return
            except socket.timeout:
                raise AssertionError("a connection error") from None
            if kind == GOAWAY:
                code = struct.unpack(">II", payload[:8])[1]
                # RFC 9113, section 5.4: a generic code can be used in place of a more specific one.
                assert code in (PROTOCOL, *codes), f"GOAWAY {codes}, not {code}"
                return

    def resets(self, stream, *codes):
        """Expects a stream error with one of these codes. The RFC also allows a connection error."""
        while True:
            try:
                kind, _, found, payload = self.next()
            except (EOFError, ConnectionError):
                return
            except socket.timeout:
                raise AssertionError("a stream error") from None
            if kind == GOAWAY:
                code = struct.unpack(">II", payload[:8])[1]
                assert code in (PROTOCOL, *codes), f"GOAWAY {codes}, not {code}"
                return
            if kind == RST and found == stream:
                code = struct.unpack(">I", payload)[0]
                assert code in codes, f"RST_STREAM {codes}, not {code}"
                return
            if kind == HEADERS and found == stream:
                status = dict(self.decoder.decode(payload))[":status"]
                assert status.startswith("4"), f"an error, not {status}"
                return


CASES = []
# Titles of cases that the h2 crate accepts although the RFC forbids them. Both are harmless here:
# the pseudo-header is dropped, and the padding has no meaning.
LENIENT = {
    "a pseudo-header in trailers is malformed",
    "padding of a Huffman string longer than 7 bits is a COMPRESSION_ERROR",
}


def case(section, title):
    def add(function):
        CASES.append((section, title, function))
        return function
    return add


# RFC 9113

@case("9113 3.4", "an invalid preface ends the connection")
def _(at):
    peer = Peer(at, preface=False)
    peer.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + frame(SETTINGS))
    peer.fails(PROTOCOL)


@case("9113 3.4", "a preface without SETTINGS ends the connection")
def _(at):
    peer = Peer(at, preface=False)
    peer.send(PREFACE + frame(PING, payload=bytes(8)))
    peer.fails(PROTOCOL)


@case("9113 4.1", "a frame of an unknown type is ignored")
def _(at):
    peer = Peer(at)
    peer.send(frame(0x16, 0, 0, bytes(8)))
    peer.is_alive()


@case("9113 4.1", "undefined flags are ignored")
def _(at):
    peer = Peer(at)
    peer.send(frame(PING, 0x16, 0, b"12345678"))
    peer.is_alive()


@case("9113 4.1", "the reserved bit of a stream's number is ignored")
def _(at):
    peer = Peer(at)
    peer.send(frame(PING, 0, 0x80000000, b"12345678"))
    peer.is_alive()


@case("9113 4.2", "DATA of the largest size is accepted")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(frame(DATA, END_STREAM, 1, bytes(16384)))
    assert peer.answer()[0] == "200"


@case("9113 4.2", "DATA beyond the largest size is a FRAME_SIZE_ERROR")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(frame(DATA, END_STREAM, 1, bytes(16385)))
    peer.resets(1, SIZE)


@case("9113 4.2", "HEADERS beyond the largest size end the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, bytes(16385)))
    peer.fails(SIZE)


@case("9113 4.3", "a field block that cannot be decoded is a COMPRESSION_ERROR")
def _(at):
    peer = Peer(at)
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40\x01\x61\xff\xff\xff\xff\xff"))
    peer.fails(COMPRESSION, PROTOCOL)


@case("9113 4.3", "another frame between HEADERS and CONTINUATION ends the connection")
def _(at):
    peer = Peer(at)
    block = peer.encoder.encode(REQUEST)
    peer.send(frame(HEADERS, END_STREAM, 1, block[:4]) + frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"))
    peer.send(frame(CONTINUATION, END_HEADERS, 1, block[4:]))
    peer.fails(PROTOCOL)


@case("9113 4.3", "HEADERS of another stream before CONTINUATION end the connection")
def _(at):
    peer = Peer(at)
    block = peer.encoder.encode(REQUEST)
    peer.send(frame(HEADERS, END_STREAM, 1, block[:4]))
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, block))
    peer.fails(PROTOCOL)


@case("9113 5.1", "DATA on an idle stream ends the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(DATA, END_STREAM, 1, b"test"))
    peer.fails(PROTOCOL)


@case("9113 5.1", "RST_STREAM on an idle stream ends the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(RST, 0, 1, struct.pack(">I", CANCEL)))
    peer.fails(PROTOCOL)


@case("9113 5.1", "WINDOW_UPDATE on an idle stream ends the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(WINDOW, 0, 1, struct.pack(">I", 100)))
    peer.fails(PROTOCOL)


@case("9113 5.1", "CONTINUATION on an idle stream ends the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(CONTINUATION, END_HEADERS, 1, peer.encoder.encode(REQUEST)))
    peer.fails(PROTOCOL)


@case("9113 5.1", "DATA after the end of the client's side is STREAM_CLOSED")
def _(at):
    peer = Peer(at)
    peer.headers()
    peer.send(frame(DATA, END_STREAM, 1, b"test"))
    peer.resets_or_closed(1)


@case("9113 5.1", "HEADERS after the end of the client's side are STREAM_CLOSED")
def _(at):
    peer = Peer(at)
    peer.headers()
    peer.headers()
    peer.resets_or_closed(1)


@case("9113 5.1", "HEADERS on a stream that was reset are an error")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(frame(RST, 0, 1, struct.pack(">I", CANCEL)))
    peer.headers(stream=1, fields=POST, flags=END_HEADERS)
    peer.resets_or_closed(1)


@case("9113 5.1.1", "a stream with an even number ends the connection")
def _(at):
    peer = Peer(at)
    peer.headers(stream=2)
    peer.fails(PROTOCOL)


@case("9113 5.1.1", "a stream with a smaller number than one before ends the connection")
def _(at):
    peer = Peer(at)
    peer.headers(stream=5)
    peer.answer(5)
    peer.headers(stream=3)
    peer.resets_or_closed(3)


@case("9113 5.1.2", "a stream beyond the limit is refused")
def _(at):
    peer = Peer(at)
    limit = peer.settings[3]
    for number in range(limit + 1):
        peer.headers(1 + 2 * number, fields=POST, flags=END_HEADERS)
    peer.resets(1 + 2 * limit, PROTOCOL, REFUSED)


@case("9113 5.3.1", "PRIORITY is read and ignored")
def _(at):
    peer = Peer(at)
    peer.send(frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"))
    peer.headers(1)
    assert peer.answer(1)[0] == "200"


@case("9113 5.4.1", "a connection error ends with the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(PING, 0, 0, b"short"))
    peer.fails(SIZE)
    try:
        while peer.socket.recv(4096):
            pass
    except ConnectionError:
        pass


@case("9113 5.5", "frames of unknown types between others are ignored")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(frame(0xEE, 0xFF, 1, b"extension"))
    peer.send(frame(DATA, END_STREAM, 1, b"test"))
    assert peer.answer()[0] == "200"


@case("9113 5.5", "a frame of an unknown type in a field block ends the connection")
def _(at):
    peer = Peer(at)
    block = peer.encoder.encode(REQUEST)
    peer.send(frame(HEADERS, END_STREAM, 1, block[:4]) + frame(0xEE, 0, 1, b"x"))
    peer.send(frame(CONTINUATION, END_HEADERS, 1, block[4:]))
    peer.fails(PROTOCOL)


@case("9113 6.1", "DATA on stream 0 ends the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(DATA, 0, 0, b"test"))
    peer.fails(PROTOCOL)


@case("9113 6.1", "padding of DATA is dropped")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST + [("content-length", "4")], flags=END_HEADERS)
    peer.send(frame(DATA, END_STREAM | PADDED, 1, b"\x06test" + bytes(6)))
    assert peer.answer()[0] == "200"


@case("9113 6.1", "DATA with more padding than payload ends the connection")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(frame(DATA, END_STREAM | PADDED, 1, b"\x10test"))
    peer.fails(PROTOCOL)


@case("9113 6.2", "HEADERS with priority and padding are read")
def _(at):
    peer = Peer(at)
    block = peer.encoder.encode(REQUEST)
    flags = END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY
    peer.send(frame(HEADERS, flags, 1, b"\x03" + b"\0\0\0\0\x10" + block + bytes(3)))
    assert peer.answer()[0] == "200"


@case("9113 6.2", "HEADERS on stream 0 end the connection")
def _(at):
    peer = Peer(at)
    peer.headers(stream=0)
    peer.fails(PROTOCOL)


@case("9113 6.2", "HEADERS with more padding than payload end the connection")
def _(at):
    peer = Peer(at)
    block = peer.encoder.encode(REQUEST)
    flags = END_STREAM | END_HEADERS | PADDED
    peer.send(frame(HEADERS, flags, 1, bytes([len(block) + 1]) + block))
    peer.fails(PROTOCOL)


@case("9113 6.3", "PRIORITY on stream 0 ends the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(PRIORITY, 0, 0, b"\0\0\0\0\x10"))
    peer.fails(PROTOCOL)


@case("9113 6.3", "PRIORITY of another size is a FRAME_SIZE_ERROR")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(frame(PRIORITY, 0, 1, b"\0\0\0\0"))
    peer.resets(1, SIZE)


@case("9113 6.4", "RST_STREAM on stream 0 ends the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(RST, 0, 0, struct.pack(">I", CANCEL)))
    peer.fails(PROTOCOL)


@case("9113 6.4", "RST_STREAM of another size is a FRAME_SIZE_ERROR")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(frame(RST, 0, 1, b"\0\0\0"))
    peer.fails(SIZE)


@case("9113 6.5", "SETTINGS with an acknowledgement and a payload are a FRAME_SIZE_ERROR")
def _(at):
    peer = Peer(at)
    peer.send(frame(SETTINGS, ACK, 0, setting(1, 0)))
    peer.fails(SIZE)


@case("9113 6.5", "SETTINGS on a stream end the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(SETTINGS, 0, 1, setting(3, 100)))
    peer.fails(PROTOCOL)


@case("9113 6.5", "SETTINGS of a size that is no multiple of 6 are a FRAME_SIZE_ERROR")
def _(at):
    peer = Peer(at)
    peer.send(frame(SETTINGS, 0, 0, b"\0\3\0"))
    peer.fails(SIZE)


@case("9113 6.5.2", "ENABLE_PUSH other than 0 and 1 ends the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(SETTINGS, payload=setting(2, 2)))
    peer.fails(PROTOCOL)


@case("9113 6.5.2", "INITIAL_WINDOW_SIZE beyond 2^31 - 1 is a FLOW_CONTROL_ERROR")
def _(at):
    peer = Peer(at)
    peer.send(frame(SETTINGS, payload=setting(4, 1 << 31)))
    peer.fails(FLOW)


@case("9113 6.5.2", "MAX_FRAME_SIZE below 16384 ends the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(SETTINGS, payload=setting(5, 16383)))
    peer.fails(PROTOCOL)


@case("9113 6.5.2", "MAX_FRAME_SIZE beyond 2^24 - 1 ends the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(SETTINGS, payload=setting(5, 1 << 24)))
    peer.fails(PROTOCOL)


@case("9113 6.5.2", "unknown settings are ignored")
def _(at):
    peer = Peer(at, settings=setting(0xFF, 1))
    peer.is_alive()


@case("9113 6.5.3", "SETTINGS are acknowledged")
def _(at):
    peer = Peer(at)
    peer.send(frame(SETTINGS, payload=setting(3, 100)))
    peer.wait(lambda f: f[0] == SETTINGS and f[1] & ACK, "an acknowledgement of SETTINGS")


@case("9113 6.6", "PUSH_PROMISE of a client ends the connection")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(frame(PUSH, END_HEADERS, 1, struct.pack(">I", 2) + peer.encoder.encode(REQUEST)))
    peer.fails(PROTOCOL)


@case("9113 6.7", "PING is answered")
def _(at):
    Peer(at).is_alive()


@case("9113 6.7", "PING with an acknowledgement is not answered")
def _(at):
    peer = Peer(at)
    peer.send(frame(PING, ACK, 0, b"unwanted"))
    peer.is_alive()


@case("9113 6.7", "PING on a stream ends the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(PING, 0, 1, bytes(8)))
    peer.fails(PROTOCOL)


@case("9113 6.7", "PING of another size is a FRAME_SIZE_ERROR")
def _(at):
    peer = Peer(at)
    peer.send(frame(PING, 0, 0, bytes(6)))
    peer.fails(SIZE)


@case("9113 6.8", "GOAWAY on a stream ends the connection")
def _(at):
    peer = Peer(at)
    peer.send(frame(GOAWAY, 0, 1, bytes(8)))
    peer.fails(PROTOCOL)


@case("9113 6.9", "no more is sent than the window allows")
def _(at):
    peer = Peer(at, settings=setting(4, 1))
    peer.headers()
    peer.wait(lambda f: f[0] == HEADERS, "a response")
    data = peer.wait(lambda f: f[0] == DATA, "a body")
    assert len(data[3]) == 1, "one byte"
    peer.send(frame(WINDOW, 0, 1, struct.pack(">I", 1)))
    data = peer.wait(lambda f: f[0] == DATA, "a body")
    assert len(data[3]) == 1, "one byte more"


@case("9113 6.9", "WINDOW_UPDATE by 0 on the connection ends it")
def _(at):
    peer = Peer(at)
    peer.send(frame(WINDOW, 0, 0, bytes(4)))
    peer.fails(PROTOCOL)


@case("9113 6.9", "WINDOW_UPDATE by 0 on a stream is an error")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(frame(WINDOW, 0, 1, bytes(4)))
    peer.resets(1, PROTOCOL)


@case("9113 6.9", "WINDOW_UPDATE of another size is a FRAME_SIZE_ERROR")
def _(at):
    peer = Peer(at)
    peer.send(frame(WINDOW, 0, 0, b"\0\0\1"))
    peer.fails(SIZE)


@case("9113 6.9.1", "a window beyond 2^31 - 1 on the connection is a FLOW_CONTROL_ERROR")
def _(at):
    peer = Peer(at)
    peer.send(2 * frame(WINDOW, 0, 0, struct.pack(">I", (1 << 31) - 1)))
    peer.fails(FLOW)


@case("9113 6.9.1", "a window beyond 2^31 - 1 on a stream is a FLOW_CONTROL_ERROR")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(2 * frame(WINDOW, 0, 1, struct.pack(">I", (1 << 31) - 1)))
    peer.resets(1, FLOW)


@case("9113 6.9.2", "a smaller INITIAL_WINDOW_SIZE applies to open streams, below zero as well")
def _(at):
    peer = Peer(at, settings=setting(4, 3))
    peer.headers()
    peer.wait(lambda f: f[0] == HEADERS, "a response")
    data = peer.wait(lambda f: f[0] == DATA, "a body")
    assert len(data[3]) == 3
    peer.send(frame(SETTINGS, payload=setting(4, 2)))
    peer.wait(lambda f: f[0] == SETTINGS and f[1] & ACK, "an acknowledgement")
    peer.send(frame(WINDOW, 0, 1, struct.pack(">I", 2)))
    data = peer.wait(lambda f: f[0] == DATA, "a body")
    assert len(data[3]) == 1, "the window was -1"


@case("9113 6.9.2", "a larger INITIAL_WINDOW_SIZE lets a stream go on")
def _(at):
    peer = Peer(at, settings=setting(4, 0))
    peer.headers()
    peer.wait(lambda f: f[0] == HEADERS, "a response")
    peer.send(frame(SETTINGS, payload=setting(4, 2)))
    data = peer.wait(lambda f: f[0] == DATA, "a body")
    assert len(data[3]) == 2


@case("9113 6.10", "a field block in several CONTINUATIONs is read")
def _(at):
    peer = Peer(at)
    block = peer.encoder.encode(REQUEST)
    peer.send(frame(HEADERS, END_STREAM, 1, block[:2]) + frame(CONTINUATION, 0, 1, block[2:5]))
    peer.send(frame(CONTINUATION, END_HEADERS, 1, block[5:]))
    assert peer.answer()[0] == "200"


@case("9113 6.10", "CONTINUATION after the end of a field block ends the connection")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(frame(CONTINUATION, END_HEADERS, 1, peer.encoder.encode([("a", "b")])))
    peer.fails(PROTOCOL)


@case("9113 6.10", "CONTINUATION on stream 0 ends the connection")
def _(at):
    peer = Peer(at)
    block = peer.encoder.encode(REQUEST)
    peer.send(frame(HEADERS, END_STREAM, 1, block[:4]) + frame(CONTINUATION, END_HEADERS, 0, block[4:]))
    peer.fails(PROTOCOL)


@case("9113 7", "unknown error codes are treated as any other")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(frame(RST, 0, 1, struct.pack(">I", 0xFF)))
    peer.is_alive()


@case("9113 8.1", "a second HEADERS without END_STREAM is malformed")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.headers(fields=[("x-test", "ok")], flags=END_HEADERS)
    peer.resets(1, PROTOCOL)


def malformed(section, title, fields, flags=END_STREAM | END_HEADERS):
    @case(section, title)
    def _(at):
        peer = Peer(at)
        peer.headers(fields=fields, flags=flags)
        peer.resets(1, PROTOCOL)
        # This is a stream error, so the connection stays open unless the proxy has sent GOAWAY.


malformed("9113 8.2.1", "a field name in upper case is malformed", REQUEST + [("X-TEST", "ok")])
malformed("9113 8.2.1", "a field name with a colon is malformed", REQUEST + [("x:test", "ok")])
malformed("9113 8.2.1", "a field value with a line end is malformed", REQUEST + [("x-test", "a\r\nb")])
malformed("9113 8.2.1", "a field value with NUL is malformed", REQUEST + [("x-test", "a\0b")])
malformed("9113 8.2.2", "Connection is malformed", REQUEST + [("connection", "keep-alive")])
malformed("9113 8.2.2", "Transfer-Encoding is malformed", REQUEST + [("transfer-encoding", "chunked")])
malformed("9113 8.2.2", "Upgrade is malformed", REQUEST + [("upgrade", "h2c")])
malformed("9113 8.2.2", "TE other than trailers is malformed", REQUEST + [("te", "trailers, deflate")])
malformed("9113 8.3", "an unknown pseudo-header is malformed", REQUEST + [(":test", "ok")])
malformed("9113 8.3", "a pseudo-header of responses is malformed", REQUEST + [(":status", "200")])
malformed("9113 8.3", "a pseudo-header behind a field is malformed",
          REQUEST[:3] + [("x-test", "ok")] + REQUEST[3:])
malformed("9113 8.3.1", "an empty :path is malformed",
          [(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "a.test")])
malformed("9113 8.3.1", "a request without :method is malformed", REQUEST[1:])
malformed("9113 8.3.1", "a request without :scheme is malformed", REQUEST[:1] + REQUEST[2:])
malformed("9113 8.3.1", "a request without :path is malformed", REQUEST[:2] + REQUEST[3:])
malformed("9113 8.3.1", ":method twice is malformed", REQUEST[:1] + REQUEST)
malformed("9113 8.3.1", ":scheme twice is malformed", REQUEST[:2] + REQUEST[1:])
malformed("9113 8.3.1", ":path twice is malformed", REQUEST[:3] + REQUEST[2:])
malformed("9113 8.3.1", "a Host that differs from :authority is refused", REQUEST + [("host", "b.test")])
malformed("9113 8.3.1", ":authority with user information is refused",
          REQUEST[:3] + [(":authority", "user@a.test")])
malformed("9113 8.5", "CONNECT is refused", [(":method", "CONNECT"), (":authority", "a.test:443")])


@case("9113 8.1", "a pseudo-header in trailers is malformed")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.headers(fields=[(":method", "POST")])
    peer.resets(1, PROTOCOL)


@case("9113 8.1.1", "a body shorter than Content-Length is malformed")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST + [("content-length", "5")], flags=END_HEADERS)
    peer.send(frame(DATA, END_STREAM, 1, b"test"))
    peer.resets(1, PROTOCOL)


@case("9113 8.1.1", "a body longer than Content-Length is malformed")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST + [("content-length", "3")], flags=END_HEADERS)
    peer.send(frame(DATA, 0, 1, b"te") + frame(DATA, END_STREAM, 1, b"st"))
    peer.resets(1, PROTOCOL)


@case("9113 8.2.3", "cookies in several lines are one")
def _(at):
    peer = Peer(at)
    peer.headers(fields=REQUEST + [("cookie", "a=1"), ("cookie", "b=2")])
    status, body = peer.answer()
    assert b"cookie: a=1; b=2" in body.lower(), body


@case("9113 8.3.1", "Host alone names the authority")
def _(at):
    peer = Peer(at)
    peer.headers(fields=REQUEST[:3] + [("host", "b.test")])
    status, body = peer.answer()
    assert status == "200" and b"host: b.test" in body.lower(), (status, body)


@case("9113 8.1", "trailers of a request are passed on")
def _(at):
    peer = Peer(at)
    peer.headers(fields=POST, flags=END_HEADERS)
    peer.send(frame(DATA, 0, 1, b"test"))
    peer.headers(fields=[("x-checksum", "1")])
    status, body = peer.answer()
    assert status == "200" and b"x-checksum: 1" in body.lower(), (status, body)


@case("8441 3", "extended CONNECT is announced")
def _(at):
    assert Peer(at).settings.get(8) == 1


@case("8441 4", "extended CONNECT for another protocol is refused")
def _(at):
    peer = Peer(at)
    peer.headers(fields=[(":method", "CONNECT"), (":protocol", "other"), (":scheme", "http"),
                         (":path", "/"), (":authority", "a.test")], flags=END_HEADERS)
    peer.resets(1, PROTOCOL)


# RFC 7541

@case("7541 2.3.3", "an index of no entry is a COMPRESSION_ERROR")
def _(at):
    peer = Peer(at)
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\xff\x80\x01"))
    peer.fails(COMPRESSION)


@case("7541 4.2", "a table size at the end of a field block is a COMPRESSION_ERROR")
def _(at):
    peer = Peer(at)
    block = peer.encoder.encode(REQUEST) + b"\x20"
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, block))
    peer.fails(COMPRESSION)


@case("7541 5.2", "padding of a Huffman string longer than 7 bits is a COMPRESSION_ERROR")
def _(at):
    peer = Peer(at)
    block = peer.encoder.encode(REQUEST) + b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x9f"
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, block))
    peer.fails(COMPRESSION)


@case("7541 5.2", "padding of a Huffman string with zeros is a COMPRESSION_ERROR")
def _(at):
    peer = Peer(at)
    block = peer.encoder.encode(REQUEST) + b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, block))
    peer.fails(COMPRESSION)


@case("7541 5.2", "a Huffman string with its end symbol is a COMPRESSION_ERROR")
def _(at):
    peer = Peer(at)
    block = peer.encoder.encode(REQUEST) + b"\x00\x88\xf2\xb2\x4a\x84\xff\xff\xff\xff\x83\x49\x50\x9f"
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, block))
    peer.fails(COMPRESSION)


@case("7541 6.1", "index 0 is a COMPRESSION_ERROR")
def _(at):
    peer = Peer(at)
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x80"))
    peer.fails(COMPRESSION)


@case("7541 6.3", "a table size beyond the announced one is a COMPRESSION_ERROR")
def _(at):
    peer = Peer(at)
    block = b"\x3f\xe1\xff\x03" + peer.encoder.encode(REQUEST)
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, block))
    peer.fails(COMPRESSION)


def resets_or_closed(self, stream):
    """Expects an error for a frame on a stream that is half-closed, closed or forgotten.

    The state depends on timing, because the response may already have been sent."""
    while True:
        try:
            kind, _, found, payload = self.next()
        except (EOFError, ConnectionError):
            return
        except socket.timeout:
            raise AssertionError("an error") from None
        if kind == GOAWAY:
            code = struct.unpack(">II", payload[:8])[1]
            assert code in (CLOSED, PROTOCOL), f"GOAWAY, not {code}"
            return
        if kind == RST and found == stream:
            code = struct.unpack(">I", payload)[0]
            assert code in (CLOSED, PROTOCOL), f"RST_STREAM {code}"
            return


Peer.resets_or_closed = resets_or_closed


def main():
    if sys.argv[1:] == ["--list"]:
        for section, title, _ in CASES:
            kept = "no" if title in LENIENT else "yes"
            print(f"{section}\t{title}\t{kept}")
        return 0
    address = (sys.argv[1], int(sys.argv[2]))
    failed = 0
    for section, title, run in CASES:
        error = None
        try:
            run(address)
        except Exception as raised:
            error = raised
        if (error is None) == (title in LENIENT):
            failed += 1
            print(f"RFC {section}: {title}: {error!r}")
    print(f"{len(CASES) - failed} of {len(CASES)} passed")
    return failed


sys.exit(main())
