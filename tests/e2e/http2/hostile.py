"""Attacks a proxy that speaks HTTP/2 without TLS, while a well-behaved client sends requests.

Usage: hostile.py HOST PORT PID. During each attack, the proxy responds to that client within five
seconds, and its memory does not grow by more than 24 MiB. Floods end with GOAWAY ENHANCE_YOUR_CALM
or a closed connection. Prints what failed; the exit status is the number of failures.
"""

import socket
import struct
import sys
import threading
import time

import hpack

(DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION) = range(10)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CALM = 11
MIB = 1 << 20

HOST, PORT, PID = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def block(fields):
    return hpack.Encoder().encode(fields, huffman=False)


REQUEST = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")]
GET = block(REQUEST)


def memory():
    with open(f"/proc/{PID}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


class Attacker:
    def __init__(self, settings=b""):
        self.socket = socket.create_connection((HOST, PORT), timeout=20)
        self.socket.sendall(PREFACE + frame(SETTINGS, payload=settings) + frame(SETTINGS, 1))
        self.code = None
        self.answers = 0
        self.buffer = b""

    def send(self, data):
        """Sends these bytes. Returns False once the proxy has closed the connection."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def drain(self, seconds):
        """Reads what the proxy sends, for `seconds` or until the proxy closes the connection."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                piece = self.socket.recv(65536)
            except socket.timeout:
                return False
            except OSError:
                return True
            if not piece:
                return True
            self.buffer += piece
            while len(self.buffer) >= 9:
                length = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) < 9 + length:
                    break
                kind, payload = self.buffer[3], self.buffer[9:9 + length]
                if kind == GOAWAY:
                    self.code = struct.unpack(">II", payload[:8])[1]
                if kind == PING:
                    self.answers += 1
                self.buffer = self.buffer[9 + length:]
        return False


def flood(pieces, limit):
    """Sends until the proxy stops reading, and returns the number of parts sent."""
    attacker = Attacker()
    sent = 0
    is_open = True
    reader = threading.Thread(target=lambda: attacker.drain(15))
    reader.start()
    for piece in pieces:
        if not attacker.send(piece) or attacker.code is not None:
            is_open = False
            break
        sent += 1
        if sent >= limit:
            break
    reader.join()
    assert attacker.code in (CALM, None) and not (is_open and attacker.code is None), \
        f"the flood of {sent} was borne (GOAWAY {attacker.code})"
    return attacker


def batch(one, count=100):
    while True:
        yield one * count


def pings():
    attacker = flood(batch(frame(PING, 0, 0, bytes(8))), 200)
    assert attacker.answers < 5000, f"{attacker.answers} PINGs were answered"


def settings():
    flood(batch(frame(SETTINGS)), 200)


def resets():
    def streams():
        number = 1
        while True:
            piece = b""
            for _ in range(50):
                piece += frame(HEADERS, 5, number, GET) + frame(RST, 0, number, struct.pack(">I", 8))
                number += 2
            yield piece
    flood(streams(), 1000)


def window_updates():
    flood(batch(frame(WINDOW, 0, 0, struct.pack(">I", 1))), 200)


def empty_data():
    def pieces():
        yield frame(HEADERS, 4, 1, block([(":method", "POST")] + REQUEST[1:]))
        while True:
            yield frame(DATA, 0, 1) * 100
    flood(pieces(), 200)


def unknown_frames():
    flood(batch(frame(0x42, 0, 0, b"x")), 200)


def continuations():
    """Sends a field block that never ends."""
    attacker = Attacker()
    attacker.send(frame(HEADERS, 1, 1, GET))
    for _ in range(4000):
        if not attacker.send(frame(CONTINUATION, 0, 1, b"\x00\x01a" + b"\x7f\x81\x00" + b"b" * 256)):
            break
    assert attacker.drain(10) or attacker.code is not None, "CONTINUATION without end was borne"


def hpack_bomb():
    """Sends field blocks in which each byte stands for a copy of a 4 KB field."""
    attacker = Attacker()
    big = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"b" * 4000
    for stream in range(1, 60, 2):
        payload = GET + (big if stream == 1 else b"") + b"\xbe" * 12000
        if not attacker.send(frame(HEADERS, 5, stream, payload)):
            break
    attacker.drain(2)


def windows():
    """Sends a hundred requests for a large body on each connection, and reads no body."""
    attackers = []
    for _ in range(3):
        attacker = Attacker(settings=struct.pack(">HI", 4, 0))
        for stream in range(1, 200, 2):
            attacker.send(frame(HEADERS, 5, stream, block(REQUEST[:2] + [(":path", "/big")] + REQUEST[3:])))
        attackers.append(attacker)
    # Opens each stream's window by one byte: the proxy must then hold back the rest of the body,
    # and not read all of it into memory.
    for attacker in attackers:
        for stream in range(1, 200, 2):
            attacker.send(frame(WINDOW, 0, stream, struct.pack(">I", 1)))
    for attacker in attackers:
        attacker.drain(0.5)
    return attackers


def uploads():
    """Sends bodies to a server that does not read them."""
    attackers = []
    for _ in range(5):
        attacker = Attacker()
        for stream in range(1, 200, 2):
            fields = [(":method", "POST")] + REQUEST[1:2] + [(":path", "/stalled")] + REQUEST[3:]
            attacker.send(frame(HEADERS, 4, stream, block(fields)))
        for stream in range(1, 200, 2):
            attacker.send(frame(DATA, 0, stream, bytes(8192)))
        attackers.append(attacker)
    for attacker in attackers:
        attacker.drain(0.5)
    return attackers


def silence():
    """Opens connections that stop in the middle of a frame."""
    attackers = []
    for _ in range(100):
        attacker = Attacker()
        attacker.send(frame(HEADERS, 5, 1, GET)[:12])
        attackers.append(attacker)
    return attackers


class Honest(threading.Thread):
    """A client that sends requests without a pause, and records the longest wait."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.longest = 0.0
        self.served = 0
        self.error = None

    def run(self):
        try:
            while not self.stop.is_set():
                start = time.monotonic()
                with socket.create_connection((HOST, PORT), timeout=10) as client:
                    client.sendall(PREFACE + frame(SETTINGS) + frame(HEADERS, 5, 1, GET))
                    seen = b""
                    while b"served" not in seen:
                        piece = client.recv(65536)
                        assert piece, "the connection ended without an answer"
                        seen += piece
                self.longest = max(self.longest, time.monotonic() - start)
                self.served += 1
        except Exception as error:
            self.error = error


def main():
    failed = 0
    for attack in (pings, settings, resets, window_updates, empty_data, unknown_frames,
                   continuations, hpack_bomb, windows, uploads, silence):
        honest = Honest()
        honest.start()
        before = memory()
        problems = []
        held = None
        try:
            held = attack()
        except AssertionError as error:
            problems.append(str(error))
        grown = memory() - before
        honest.stop.set()
        honest.join()
        del held
        if honest.error:
            problems.append(f"another client: {honest.error!r}")
        if honest.served == 0 or honest.longest > 5:
            problems.append(f"another client waited {honest.longest:.2f} s, {honest.served} served")
        if grown > 24 * MIB:
            problems.append(f"memory grew by {grown / MIB:.1f} MiB")
        print(f"{attack.__name__}: {grown / MIB:+.1f} MiB, {honest.served} others, "
              f"longest {honest.longest * 1000:.0f} ms {'; '.join(problems)}")
        failed += bool(problems)
    return failed


sys.exit(main())
