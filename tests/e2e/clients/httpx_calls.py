"""Sends requests over TLS with httpx.

Usage: httpx_calls.py CA PORT PORT_WITHOUT_HTTP2
"""

import asyncio
import ssl
import sys

import httpx

CONCURRENT = 200


def client(ca, http2):
    context = ssl.create_default_context(cafile=ca)
    return httpx.AsyncClient(http2=http2, verify=context, timeout=30, trust_env=False)


async def agreed(ca, port, http2):
    """Returns the HTTP version of a response."""
    async with client(ca, http2) as to:
        answer = await to.get(f"https://localhost:{port}/")
        assert answer.status_code == 200, answer
        return answer.http_version


async def concurrent(ca, port):
    async with client(ca, True) as to:
        url = f"https://localhost:{port}/"
        bodies = [b"%d" % number * 1000 for number in range(CONCURRENT)]
        answers = await asyncio.gather(*(to.post(url, content=body) for body in bodies))
        for body, answer in zip(bodies, answers):
            assert answer.status_code == 200, answer
            assert answer.http_version == "HTTP/2", answer.http_version
            assert answer.text == f"{len(body)} none", answer.text


async def main(ca, port, without):
    found = [await agreed(ca, port, True), await agreed(ca, port, False), await agreed(ca, without, True)]
    assert found == ["HTTP/2", "HTTP/1.1", "HTTP/1.1"], found
    await concurrent(ca, port)


asyncio.run(main(*sys.argv[1:]))
