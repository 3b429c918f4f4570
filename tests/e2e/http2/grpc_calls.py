"""Makes gRPC calls through the proxy with grpcio. Messages are plain bytes.

Usage: grpc_calls.py serve        a server; prints its port
       grpc_calls.py kinds HOST:PORT [CA]
       grpc_calls.py many HOST:PORT COUNT [CA]
"""

import sys
import threading
import time
from concurrent import futures

import grpc


def identity(message):
    return message


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        name = details.method.rsplit("/", 1)[1]

        def unary(request, context):
            metadata = dict(context.invocation_metadata())
            if request == b"fail":
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not \u00e4 good moment")
            if request == b"slow":
                time.sleep(5)
            context.send_initial_metadata((("x-initial", metadata.get("x-asked", "none")),))
            context.set_trailing_metadata((("x-trailing", "t"), ("x-bytes-bin", b"\0\1\2")))
            return request

        def unary_stream(request, context):
            for number in range(int(request)):
                yield b"%d" % number

        def stream_unary(requests, context):
            return b",".join(requests)

        def stream_stream(requests, context):
            for request in requests:
                yield request * 2

        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(unary),
            "UnaryStream": grpc.unary_stream_rpc_method_handler(unary_stream),
            "StreamUnary": grpc.stream_unary_rpc_method_handler(stream_unary),
            "StreamStream": grpc.stream_stream_rpc_method_handler(stream_stream),
        }
        return handlers.get(name)


def serve():
    options = (("grpc.max_receive_message_length", 64 << 20),)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=options)
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    # Returns when the test closes the pipe.
    sys.stdin.read()


def channel(target, ca):
    options = (
        ("grpc.max_receive_message_length", 64 << 20),
        ("grpc.max_send_message_length", 64 << 20),
        # Each channel has its own connection.
        ("grpc.use_local_subchannel_pool", 1),
    )
    if ca:
        with open(ca, "rb") as file:
            return grpc.secure_channel(target, grpc.ssl_channel_credentials(file.read()), options)
    return grpc.insecure_channel(target, options)


def kinds(target, ca):
    with channel(target, ca) as to:
        unary = to.unary_unary("/test.Echo/Unary")
        answer, call = unary.with_call(b"hello", metadata=(("x-asked", "yes"),), timeout=20)
        assert answer == b"hello"
        assert ("x-initial", "yes") in [tuple(pair) for pair in call.initial_metadata()]
        trailing = dict(call.trailing_metadata())
        assert trailing["x-trailing"] == "t" and trailing["x-bytes-bin"] == b"\0\1\2", trailing
        large = bytes(range(256)) * (8 << 12)
        assert unary(large, timeout=20) == large, "8 MiB"
        assert unary(b"", timeout=20) == b""

        many = list(to.unary_stream("/test.Echo/UnaryStream")(b"1000", timeout=20))
        assert many == [b"%d" % number for number in range(1000)]
        joined = to.stream_unary("/test.Echo/StreamUnary")(iter([b"a", b"b", b"c"]), timeout=20)
        assert joined == b"a,b,c"

        # Messages flow in both directions at once, and each message waits for the reply to the one
        # before.
        answers = []
        turn = threading.Semaphore(1)

        def messages():
            for number in range(50):
                turn.acquire()
                yield b"%d." % number

        for answer in to.stream_stream("/test.Echo/StreamStream")(messages(), timeout=20):
            answers.append(answer)
            turn.release()
        assert answers == [b"%d." % number * 2 for number in range(50)]

        def fails(call, code):
            try:
                call()
            except grpc.RpcError as error:
                assert error.code() == code, error
                return error
            raise AssertionError(f"not {code}")

        error = fails(lambda: unary(b"fail", timeout=20), grpc.StatusCode.FAILED_PRECONDITION)
        assert error.details() == "not \u00e4 good moment", error
        fails(lambda: unary(b"slow", timeout=0.2), grpc.StatusCode.DEADLINE_EXCEEDED)
        fails(lambda: to.unary_unary("/test.Echo/Nothing")(b"", timeout=20), grpc.StatusCode.UNIMPLEMENTED)
        call = to.stream_stream("/test.Echo/StreamStream")(iter(()), timeout=20)
        call.cancel()
        assert unary(b"still there", timeout=20) == b"still there"
    print("all kinds of calls")


def many(target, count, ca):
    failed, channels = [], []
    left = threading.Semaphore(64)
    done = threading.Semaphore(0)

    def finished(call):
        left.release()
        done.release()
        if call.code() != grpc.StatusCode.OK:
            failed.append((call.code(), call.details()))

    for number in range(count):
        # Opens further connections, so that some calls use plugins and certificates that came into
        # force after the start.
        if number % 500 == 0:
            channels.append(channel(target, ca))
            unary = channels[-1].unary_unary("/test.Echo/Unary")
        left.acquire()
        unary.future(b"%d" % number, timeout=60).add_done_callback(finished)
        if number % 1000 == 999:
            print(number + 1, flush=True)
    for _ in range(count):
        done.acquire()
    for to in channels:
        to.close()
    assert not failed, f"{len(failed)} of {count} failed: {failed[:3]}"
    print("done", flush=True)


command, *rest = sys.argv[1:]
if command == "serve":
    serve()
elif command == "kinds":
    kinds(rest[0], rest[1] if len(rest) > 1 else None)
else:
    many(rest[0], int(rest[1]), rest[2] if len(rest) > 2 else None)
