#!/usr/bin/env python3
"""Compares what clients see while servers come and go: with Pointsman, and with HAProxy configured alike.

    compare.py POINTSMAN [SCENARIO...]

Both proxies run side by side. Each has separate servers, and both sets of servers are treated alike at the same
moment. Each proxy gets 300 requests a second over 30 connections, whether or not earlier requests have got a
response. Prints a table: requests, failures (no response, or a status of 500 and above), and milliseconds until
the response. Needs haproxy, node and dnsmasq.
"""

import asyncio
import collections
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
RATE, CONNECTIONS, BEFORE, DURING, AFTER = 300, 30, 1.5, 4.0, 3.0

POINTSMAN = """
workers = 2
log.access = false
[frontend.f]
bind = "127.0.0.1:{port}"
default_backend = "b"
[backend.b]
{servers}
check = {{ kind = "http", path = "/health", interval = "1s", timeout = "500ms", rise = 2, fall = 2 }}
balance = "least_requests"
outlier = {{ consecutive = 5, on = ["reset", "timeout", "5xx"] }}
retry = {{ attempts = 3, on = ["connect", "reset", "timeout", "500"] }}
timeout.connect = "1s"
timeout.server = "2s"
{extra}
"""

HAPROXY = """
global
    nbthread 2
defaults
    mode http
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response response-timeout 500
    timeout connect 1s
    timeout client 30s
    timeout server 2s
{resolvers}
frontend f
    bind 127.0.0.1:{port}
    default_backend b
backend b
    balance leastconn
    option httpchk GET /health
    timeout check 500ms
    default-server inter 1s rise 2 fall 2 observe layer7 error-limit 5 on-error mark-down
{servers}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server of one of the proxies."""

    def __init__(self, host="127.0.0.1", delay=0, port=None):
        self.host, self.port, self.delay = host, port or free_port(), delay
        self.process, self.hole = None, []

    def start(self):
        env = {**os.environ, "PORT": str(self.port), "HOST": self.host, "DELAY": str(self.delay)}
        command = ["node", os.path.join(HERE, "server.js")]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def send(self, number):
        self.process.send_signal(number)

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait()

    def swallow(self):
        """Stops answering SYNs: the listen queue of the server, which has one slot, is full."""
        self.kill()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(0)
        self.hole = [listener]
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((self.host, self.port))
            self.hole.append(filler)

    def come_back(self):
        for one in self.hole:
            one.close()
        self.start()


class Load:
    """Requests at a steady rate."""

    def __init__(self, port):
        self.port, self.idle = port, collections.deque()
        self.millis, self.failed, self.kinds = [], 0, collections.Counter()

    async def one(self):
        begin = time.perf_counter()
        status = await self.status()
        self.millis.append((time.perf_counter() - begin) * 1000)
        if not 200 <= status < 500:
            self.failed += 1
            self.kinds[status] += 1

    async def status(self):
        writer = None
        try:
            reader, writer = self.idle.popleft() if self.idle else await asyncio.open_connection(
                "127.0.0.1", self.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            lower = head.lower()
            status = int(head.split(b" ")[1])
            if b"content-length:" in lower:
                length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
            elif b"chunked" in lower:
                while not (await reader.readuntil(b"\r\n")).startswith(b"0\r\n"):
                    pass
                await reader.readuntil(b"\r\n")
            if b"connection: close" in lower or len(self.idle) >= CONNECTIONS:
                writer.close()
            else:
                self.idle.append((reader, writer))
            return status
        except Exception:
            if writer:
                writer.close()
            return 0

    async def run(self, seconds):
        tasks, begin, sent = set(), time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            due = int((time.perf_counter() - begin) * RATE)
            while sent < due:
                task = asyncio.ensure_future(self.one())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                sent += 1
            await asyncio.sleep(0.002)
        if tasks:
            await asyncio.wait(tasks)


def restart_all(servers):
    async def act(sleep):
        for server in servers:
            server.kill(signal.SIGTERM)
            await sleep(0.4)
            await asyncio.to_thread(server.start)
            await sleep(0.8)
    return act


def scenario(name, servers):
    """Returns what happens to the servers of one proxy during the load."""
    first = servers[0]

    async def act(sleep):
        if name == "kill -9":
            first.kill()
            await sleep(DURING)
            await asyncio.to_thread(first.start)
        elif name == "SIGSTOP":
            first.send(signal.SIGSTOP)
            await sleep(DURING)
            first.send(signal.SIGCONT)
        elif name == "blackholed SYN":
            first.swallow()
            await sleep(DURING)
            await asyncio.to_thread(first.come_back)
        elif name == "500s":
            first.send(signal.SIGUSR2)
            await sleep(DURING)
            first.send(signal.SIGUSR2)
        elif name == "restart of all":
            await restart_all(servers)(sleep)
        elif name == "one server restarts for 1.5 s":
            first.kill(signal.SIGTERM)
            await sleep(1.5)
            await asyncio.to_thread(first.start)
        else:
            await sleep(DURING)
    return act


def dns(records, port):
    directory = tempfile.mkdtemp()
    lines = [f"host-record=www.test,{address},1" for address in records]
    path = os.path.join(directory, "dnsmasq.conf")
    with open(path, "w") as file:
        file.write("\n".join(["no-resolv", "no-hosts", f"port={port}", "listen-address=127.0.0.1",
                              "bind-interfaces", "local=/test/", *lines, ""]))
    return subprocess.Popen(["/usr/sbin/dnsmasq", "--keep-in-foreground", "-C", path, "--log-facility=-"],
                            stderr=subprocess.DEVNULL)


def start(kind, binary, servers, name):
    port, directory = free_port(), tempfile.mkdtemp()
    path = os.path.join(directory, "conf")
    if kind == "pointsman":
        lines = [f'server.s{n} = "{s.host}:{s.port}"' for n, s in enumerate(servers)]
        text = POINTSMAN.format(port=port, servers="\n".join(lines), extra="")
        command = [binary, "run", "-c", path]
        unchecked = "check = "
    else:
        unchecked = "    option httpchk"
        lines = [f"    server s{n} {s.host}:{s.port} check" for n, s in enumerate(servers)]
        text = HAPROXY.format(port=port, servers="\n".join(lines), resolvers="")
        command = ["/usr/sbin/haproxy", "-db", "-f", path]
    if len(servers) == 1:
        # With health checks, no server would be in service until two checks have succeeded.
        text = "\n".join(line for line in text.split("\n") if not line.startswith(unchecked))
        text = text.replace(" check\n", "\n").replace("default-server inter", "#")
    return port, launch(command, path, text)


def launch(command, path, text):
    with open(path, "w") as file:
        file.write(text)
    log = open(path + ".log", "w")
    return subprocess.Popen(command, stdout=log, stderr=log)


async def measure(name, binary):
    delays = DELAYS.get(name, [0, 0, 0])
    sides = []
    for kind in ("pointsman", "haproxy"):
        servers = [Server(delay=delay) for delay in delays]
        for server in servers:
            server.start()
        port, process = start(kind, binary, servers, name)
        sides.append((kind, servers, Load(port), process))
    await asyncio.sleep(2.5)
    seconds = BEFORE + DURING + AFTER
    acts = []
    for _, servers, _, _ in sides:
        act = scenario(name, servers)

        async def later(act=act):
            await asyncio.sleep(BEFORE)
            await act(asyncio.sleep)
        acts.append(later())
    await asyncio.gather(*(load.run(seconds) for _, _, load, _ in sides), *acts)
    finish(name, sides)


async def measure_dns(name, binary):
    """Measures a name that moves from one address to another. The first server goes away a moment later."""
    sides = []
    dns_port, port = free_port(), free_port()
    names = dns(["127.0.1.1"], dns_port)
    for index, kind in enumerate(("pointsman", "haproxy")):
        server_port = port + index
        servers = [Server(host="127.0.1.1", port=server_port), Server(host="127.0.1.2", port=server_port)]
        for server in servers:
            server.start()
        listen, directory = free_port(), tempfile.mkdtemp()
        path = os.path.join(directory, "conf")
        if kind == "pointsman":
            extra = f'resolve = {{ nameservers = ["127.0.0.1:{dns_port}"] }}'
            text = POINTSMAN.format(port=listen, servers=f'server.s = "www.test:{server_port}"', extra=extra)
            command = [binary, "run", "-c", path]
        else:
            resolvers = f"resolvers r\n    nameserver d 127.0.0.1:{dns_port}\n    hold valid 1s\n    timeout resolve 1s\n"
            text = HAPROXY.format(
                port=listen, resolvers=resolvers,
                servers=f"    server s www.test:{server_port} check resolvers r init-addr none")
            command = ["/usr/sbin/haproxy", "-db", "-f", path]
        sides.append((kind, servers, Load(listen), launch(command, path, text)))
    await asyncio.sleep(4)

    async def act():
        nonlocal names
        await asyncio.sleep(BEFORE)
        names.kill()
        names.wait()
        names = dns(["127.0.1.2"], dns_port)
        await asyncio.sleep(3.5)
        for _, servers, _, _ in sides:
            servers[0].kill()
    await asyncio.gather(*(load.run(BEFORE + DURING + AFTER) for _, _, load, _ in sides), act())
    names.kill()
    finish(name, sides)


def finish(name, sides):
    for kind, servers, load, process in sides:
        process.terminate()
        for server in servers:
            if server.process.poll() is None:
                server.send(signal.SIGCONT)
                server.kill()
        millis = sorted(load.millis)
        at = lambda share: millis[min(len(millis) - 1, int(len(millis) * share))]
        kinds = " ".join(f"{status or 'no answer'}:{count}" for status, count in sorted(load.kinds.items()))
        print(f"| {name} | {kind} | {len(millis)} | {load.failed} | {at(.5):.1f} | {at(.99):.0f} | {millis[-1]:.0f} | {kinds} |",
              flush=True)


# Response time of each server, in milliseconds.
DELAYS = {
    "slow server": [150, 0, 0],
    "one of eight is four times slower": [80] + [20] * 7,
    "one server restarts for 1.5 s": [0],
}
SCENARIOS = ["nothing", "kill -9", "SIGSTOP", "blackholed SYN", "500s", "slow server",
             "one of eight is four times slower", "restart of all", "one server restarts for 1.5 s", "DNS change"]


def main():
    binary, wanted = sys.argv[1], sys.argv[2:] or SCENARIOS
    print("| what happens | proxy | requests | failed | p50 | p99 | longest | which failed |")
    print("|---|---|--:|--:|--:|--:|--:|---|")
    for name in wanted:
        asyncio.run((measure_dns if name == "DNS change" else measure)(name, binary))


main()
