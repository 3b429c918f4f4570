"""A TLS client for the tests, which prints one line of JSON."""

import argparse
import hashlib
import json
import os
import select
import socket
import ssl
import sys
import threading

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def context(arguments):
    made = ssl.create_default_context(cafile=arguments.ca)
    if arguments.version:
        made.minimum_version = made.maximum_version = VERSIONS[arguments.version]
    if arguments.alpn:
        made.set_alpn_protocols(arguments.alpn.split(","))
    if arguments.cert:
        made.load_cert_chain(arguments.cert + ".pem", arguments.cert + ".key")
    if not arguments.name:
        made.check_hostname = False
    return made


def connect(arguments, made, session=None):
    plain = socket.create_connection(("127.0.0.1", arguments.port), timeout=30)
    return made.wrap_socket(plain, server_hostname=arguments.name, session=session)


def receive(stream, most):
    piece = stream.recv(most)
    if not piece:
        raise EOFError("the connection ended")
    return piece


def exchange(arguments, stream, close=True):
    fields = "Connection: close\r\n" if close else ""
    host = arguments.name or "none"
    stream.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += receive(stream, 65536)
    head, body = answer.split(b"\r\n\r\n", 1)
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += receive(stream, 65536)
    return head.decode(), body.decode()


def facts(stream):
    return {
        "version": stream.version(),
        "alpn": stream.selected_alpn_protocol(),
        "reused": stream.session_reused,
        "sha256": hashlib.sha256(stream.getpeercert(True)).hexdigest(),
        "names": [name for _, name in stream.getpeercert().get("subjectAltName", [])],
    }


def request(arguments):
    """Connects repeatedly, each time with the session of the first connection."""
    made, session, found = context(arguments), None, []
    for _ in range(arguments.count):
        with connect(arguments, made, session) as stream:
            head, body = exchange(arguments, stream)
            found.append(facts(stream) | {"head": head, "body": body})
            session = session or stream.session
    return found


def load(arguments):
    """Sends requests on new connections until standard input ends."""
    made, stop, found, errors = context(arguments), threading.Event(), [], []

    def run():
        while not stop.is_set():
            try:
                with connect(arguments, made) as stream:
                    head, _ = exchange(arguments, stream)
                    assert head.startswith("HTTP/1.1 200"), head
                    found.append(facts(stream)["sha256"])
            except Exception as error:
                errors.append(repr(error))
                return

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    certificates = list(dict.fromkeys(found))
    return {"requests": len(found), "errors": errors, "certificates": certificates}


def websocket(arguments):
    """Sends a message, which is echoed, and a close on an upgraded connection."""
    with connect(arguments, context(arguments)) as stream:
        key = "dGhlIHNhbXBsZSBub25jZQ=="  # The test's server has a fixed response for this key.
        stream.sendall(
            (
                f"GET / HTTP/1.1\r\nHost: {arguments.name}\r\nConnection: Upgrade\r\n"
                f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            ).encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += receive(stream, 1)
        sent = os.urandom(20_000)
        return {"head": head.decode(), "same": echo(stream, sent) == sent}


def echo(stream, sent):
    """Sends and receives in one thread, because two threads cannot share an OpenSSL connection."""
    stream.setblocking(False)
    rest, echoed = sent, bytearray()
    while len(echoed) < len(sent):
        try:
            if rest:
                rest = rest[stream.send(rest) :]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        try:
            echoed += receive(stream, 65536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            select.select([stream], [stream] if rest else [], [], 10)
    return bytes(echoed)


def keep(arguments):
    """Sends two requests on one connection, the second after a line on standard input."""
    with connect(arguments, context(arguments)) as stream:
        first, _ = exchange(arguments, stream, close=False)
        print("kept", flush=True)
        sys.stdin.readline()
        second, _ = exchange(arguments, stream, close=False)
        # If TLS ends without `close_notify`, `recv` raises an error.
        return {"first": first, "second": second, "rest": stream.recv(1).decode()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["request", "load", "websocket", "keep"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--name")
    parser.add_argument("--version", choices=VERSIONS)
    parser.add_argument("--alpn")
    parser.add_argument("--cert")
    parser.add_argument("--count", type=int, default=1)
    arguments = parser.parse_args()
    try:
        found = globals()[arguments.command](arguments)
    except (OSError, EOFError) as error:
        found = {"error": str(error)}
    print(json.dumps(found))


main()
