#!/usr/bin/env python3
"""Measures the cost of decisions in pairs of runs. The two runs of a pair differ only in how varied their requests are.

    figures.py POINTSMAN [SCENARIO...]

Starts POINTSMAN with one worker in front of nginx, and sends it requests with wrk. The runs of a pair take turns:
one always sends the same request, the other sends requests that hardly ever repeat. Prints the processor time per
request of both runs, their ratio (the median over rounds), and how many decisions ran plugin code. Needs nginx, wrk
and the guests that `cargo xtask plugins` builds.
"""

import ipaddress
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")
GUESTS, EXAMPLES = os.path.join(ROOT, "target/guests"), os.path.join(ROOT, "plugins/examples")
ROUNDS, SECONDS = int(os.environ.get("ROUNDS", "5")), int(os.environ.get("SECONDS", "3"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Nginx:
    def __init__(self, folder):
        self.port = free_port()
        path = os.path.join(folder, "nginx.conf")
        with open(path, "w") as file:
            file.write(
                f"daemon off; pid {folder}/nginx.pid; error_log /dev/null; worker_processes 1;\n"
                "events { worker_connections 1024; }\n"
                "http { access_log off; keepalive_requests 1000000000; server {"
                f" listen 127.0.0.1:{self.port}; location / {{ return 200 'ok'; }} }} }}\n"
            )
        self.process = subprocess.Popen(["nginx", "-c", path], stderr=subprocess.DEVNULL)


class Proxy:
    def __init__(self, binary, folder, routers, nginx, more="", backends=("b", "c")):
        self.port, self.binary, self.folder = free_port(), binary, folder
        self.config = os.path.join(folder, "pointsman.toml")
        with open(self.config, "w") as file:
            file.write("workers = 1\nlog.access = false\nadmin.socket = \"admin.sock\"\n" + more)
            file.write(f'[frontend.f]\nbind = "127.0.0.1:{self.port}"\ndefault_backend = "b"\n')
            file.write('forwarded.trusted_proxies = "127.0.0.1"\n')
            for router in routers:
                file.write("[[frontend.f.router]]\n" + router)
            for name in backends:
                file.write(f'[backend.{name}]\nserver.a = "127.0.0.1:{nginx.port}"\n')
        self.process = subprocess.Popen([binary, "run", "-c", self.config], cwd=folder)
        # Clients can connect before the proxy is ready to serve.
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10):
                    return
            except OSError:
                time.sleep(0.05)
        sys.exit("the proxy does not serve")

    def asked(self):
        """Returns the number of all decisions, and of those that ran a plugin. The rest came from the cache."""
        socket_path = os.path.join(self.folder, "admin.sock")
        command = [self.binary, "ctl", "--socket", socket_path, "plugins", "--json"]
        versions = json.loads(subprocess.check_output(command))["versions"]
        decisions = sum(version["decisions"] for version in versions)
        return decisions, decisions - sum(version["cached"] for version in versions)

    def load(self, script):
        """Runs a load. Returns the microseconds of processor time per request, the requests, and any errors."""
        before = cpu(self.process.pid)
        command = ["wrk", "-t1", "-c32", f"-d{SECONDS}s", "-s", script, f"http://127.0.0.1:{self.port}/"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        used = cpu(self.process.pid) - before
        failed = re.search(r"Non-2xx.*|Socket errors.*", out)
        requests = int(re.search(r"(\d+) requests in", out).group(1))
        return used / requests * 1e6, requests, failed and failed.group(0)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def toml(value):
    """Formats a value as inline TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def script(folder, name, request):
    """Writes a wrk script whose `request` is this Lua expression; `n` counts requests, `r` is a random number."""
    path = os.path.join(folder, name + ".lua")
    with open(path, "w") as file:
        file.write(
            "local n = 0\nfunction request()\n n = n + 1\n local r = math.random(0, 999999)\n"
            f" return {request}\nend\n"
        )
    return path


def compare(proxy, one, many, limit):
    """Prints both costs and their ratio."""
    for warm in (one, many):
        proxy.load(warm)
    costs, ratios, failures, sent = ([], []), [], [], 0
    before = proxy.asked()
    for turn in range(ROUNDS):
        pair = {}
        for index in ((0, 1), (1, 0))[turn % 2]:
            cost, requests, failed = proxy.load((one, many)[index])
            pair[index] = cost
            sent += requests
            if failed:
                failures.append(failed)
        costs[0].append(pair[0])
        costs[1].append(pair[1])
        ratios.append(pair[1] / pair[0])
    after = proxy.asked()
    decisions, asked = after[0] - before[0], after[1] - before[1]
    rate = 100 * (1 - asked / decisions) if decisions else 0
    print(
        f"  same {statistics.median(costs[0]):.2f} us, varied {statistics.median(costs[1]):.2f} us,"
        f" ratio {statistics.median(ratios):.3f} (at most {limit}) [{' '.join(f'{r:.3f}' for r in ratios)}]\n"
        f"  {sent} requests; plugins asked {after[1]} times since the start,"
        f" {asked} of {decisions} after warm-up: {rate:.3f} % cached"
    )
    for failed in failures:
        print("  FAILED:", failed)


# One tenth of the sessions goes to another backend. Each session stays with its server, and the log
# contains the session.
STICKY_CANARY = {
    "cacheable": True,
    "questions": [
        {"share": {"over": "cookie:session", "per_million": 100_000}},
        {"value": {"over": "cookie:session"}},
    ],
    "root": {"set-affinity-by": {"question": 1, "then": {"tag-by": {"name": "session", "question": 1, "then": {
        "read": {"what": "ask", "question": 0, "cases": {"1": {"backend": "c"}}, "otherwise": "default"},
    }}}}},
}


def canary(binary, folder, nginx):
    shutil.copy(os.path.join(GUESTS, "guest-scripted.wasm"), folder)
    router = f'plugin = "./guest-scripted.wasm"\nconfig = {toml(STICKY_CANARY)}\n'
    proxy = Proxy(binary, folder, [router], nginx)
    one = script(folder, "one", 'wrk.format("GET", "/", {["Cookie"] = "session=" .. 1000000 + r * 0})')
    many = script(folder, "many", 'wrk.format("GET", "/", {["Cookie"] = "session=" .. 1000000 + r})')
    compare(proxy, one, many, 1.03)
    proxy.stop()


def path_prefix(binary, folder, nginx):
    rules = [{"prefix": f"/tenant-{i:04}", "backend": "c", "strip": True} for i in range(10_000)]
    proxy = Proxy(binary, folder, [f'plugin = "path-prefix"\nconfig.rules = {toml(rules)}\n'], nginx)
    one = script(folder, "one", 'wrk.format("GET", string.format("/tenant-%04d/%06d", 7 + r * 0, 1))')
    many = script(folder, "many", 'wrk.format("GET", string.format("/tenant-%04d/%06d", r % 10000, n))')
    compare(proxy, one, many, 1.10)
    proxy.stop()


def address_list(binary, folder, nginx):
    networks = [str(ipaddress.ip_network(((11 << 24) + (i << 9), 24))) for i in range(100_000)]
    config = {"default": "allow", "allow": networks}
    router = f'plugin = "address-list"\nconfig = {toml(config)}\n'
    proxy = Proxy(binary, folder, [router], nginx)
    address = 'string.format("%d.%d.%d.%d", 11 + r % 4, r % 251, n % 256, r % 255)'
    header = 'wrk.format("GET", "/", {["X-Forwarded-For"] = ADDRESS})'
    fixed = 'string.format("%d.%d.%d.%d", 11, 100, 100 + r * 0, 100)'
    one = script(folder, "one", header.replace("ADDRESS", fixed))
    many = script(folder, "many", header.replace("ADDRESS", address))
    compare(proxy, one, many, 1.10)
    proxy.stop()


def table_route(binary, folder, nginx):
    file = os.path.join(folder, "tenants.csv")

    def write(backend):
        with open(file + ".new", "w") as out:
            out.writelines(f"tenant-{i:06},{'bc'[(i + backend) % 2]}\n" for i in range(1_000_000))
        os.replace(file + ".new", file)

    write(0)
    more = '[table.tenants]\nfile = "tenants.csv"\nvalues = "backends"\n'
    router = 'plugin = "table-route"\nconfig = { table = "tenants", key = "header:x-tenant" }\n'
    proxy = Proxy(binary, folder, [router], nginx, more)
    header = 'wrk.format("GET", "/", {["X-Tenant"] = string.format("tenant-%06d", NUMBER)})'
    one = script(folder, "one", header.replace("NUMBER", "7 + r * 0"))
    many = script(folder, "many", header.replace("NUMBER", "r"))
    compare(proxy, one, many, "no aim")
    print("  the table is replaced every second:")
    done = threading.Event()

    def replace():
        turn = 1
        while not done.wait(1):
            write(turn % 2)
            turn += 1

    thread = threading.Thread(target=replace)
    thread.start()
    compare(proxy, one, many, "no aim")
    done.set()
    thread.join()
    proxy.stop()


def languages(binary, folder, nginx):
    routers = {"Rust": "host-suffix"}
    for language in ("Python", "JavaScript"):
        project = os.path.join(EXAMPLES, f"host-suffix-{language.lower()}")
        component = os.path.join(folder, f"{language}.wasm")
        command = [binary, "plugin", "build", project, "--output", component]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        routers[language] = component
    config = 'config.rules = [{ suffix = "io.test.tld", backend = "c" }]\n'
    request = script(folder, "one", 'wrk.format("GET", "/", {["Host"] = "io.test.tld"})')
    proxies, costs = {}, {}
    for language, plugin in routers.items():
        home = os.path.join(folder, f"of-{language}")
        os.mkdir(home)
        proxies[language] = Proxy(binary, home, [f'plugin = "{plugin}"\n{config}'], nginx)
        costs[language] = []
        proxies[language].load(request)
    for _ in range(ROUNDS):
        for language, proxy in proxies.items():
            costs[language].append(proxy.load(request)[0])
    for language, proxy in proxies.items():
        ratios = [cost / rust for cost, rust in zip(costs[language], costs["Rust"])]
        print(
            f"  {language} {statistics.median(costs[language]):.2f} us,"
            f" ratio {statistics.median(ratios):.3f} [{' '.join(f'{r:.3f}' for r in ratios)}]"
        )
        proxy.stop()


SCENARIOS = {
    "canary by cookie, 1,000,000 sessions": canary,
    "path-prefix, 10,000 prefixes": path_prefix,
    "address-list, 100,000 networks": address_list,
    "table-route, 1,000,000 tenants": table_route,
    "the same policy in three languages": languages,
}


def main():
    binary = os.path.abspath(sys.argv[1])
    wanted = sys.argv[2:]
    for name, scenario in SCENARIOS.items():
        if wanted and not any(word in name for word in wanted):
            continue
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            nginx = Nginx(folder)
            try:
                scenario(binary, folder, nginx)
            finally:
                nginx.process.terminate()
                nginx.process.wait()


main()
