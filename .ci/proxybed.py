"""What .ci/proxies measures with: servers of ours, proxies in front of them, and clients that see how an answer ends."""
import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "caddy": "Caddyfile"}
HOST = "events.example"
AT_ONCE = 1.0  # seconds; what takes longer is told as late
PATIENCE = 10.0  # for what has to come; only a failure waits so long
# Set once, by whoever measures: the program of the server, and the folder of the certificate.
PROGRAM = CERTIFICATES = None


def expect(what, holds):
    if not holds:
        raise SystemExit(f"proxies: FAILED: {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, holds, seconds=PATIENCE):
    """The seconds until it holds."""
    start = time.monotonic()
    while not holds():
        expect(f"{what} within {seconds} s", time.monotonic() - start < seconds)
        time.sleep(0.005)
    return time.monotonic() - start


def holds_within(holds, seconds=AT_ONCE):
    start = time.monotonic()
    while not (now := holds()) and time.monotonic() - start < seconds:
        time.sleep(0.005)
    return now


def ask(port, request):
    """An answer to bytes, whole."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(request.encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer.decode()


class Server:
    """A server of ours: the one of the black-box checks on tokio. It ends with its standard input."""

    def __init__(self, stack, program, **settings):
        settings = {"allowed_hosts": HOST, **settings}
        text = " ".join(f"{name}={value}" for name, value in settings.items() if value is not None)
        self.process = subprocess.Popen([program], env={**os.environ, "SSE_STATE_CONFORMANCE": text}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.callback(self.kill)
        line = self.process.stdout.readline().decode().strip()
        expect(f"the server says where it listens, not {line!r}", ":" in line)
        self.port = int(line.rsplit(":", 1)[1])

    def stats(self):
        answer = ask(self.port, f"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return json.loads(answer.split("\r\n\r\n", 1)[1])

    def streams(self):
        return self.stats()["streams"]

    def publish(self, text):
        length = len(text.encode())
        answer = ask(self.port, f"POST /news HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{text}")
        expect(f"published: {answer}", answer.startswith("HTTP/1.1 20"))

    def stop(self):
        self.process.stdin.close()
        expect("the server ends", self.process.wait(PATIENCE) == 0)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Proxy:
    """A proxy with its configuration of docs/proxies, where `edits` replace lines, in front of a port."""

    def __init__(self, stack, name, upstream, edits=()):
        self.upstream = upstream
        self.name, self.port, self.folder = name, free_port(), Path(tempfile.mkdtemp(prefix=f"sse-{name}-"))
        stack.callback(shutil.rmtree, self.folder, True)
        text = (ROOT / "docs/proxies" / CONFIGS[name]).read_text()
        for old, new in edits:
            expect(f"{old!r} stands once in {CONFIGS[name]}", text.count(old) == 1)
            text = text.replace(old, new)
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{upstream}").replace("/etc/ssl/", f"{CERTIFICATES}/")
        self.config, command = getattr(self, name)(text)
        self.config_of_server = self.folder / "site.conf" if name == "nginx" else self.config
        self.output = (self.folder / "output").open("w+b")
        home = {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)}
        self.process = subprocess.Popen(command, env={**os.environ, **home}, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, start_new_session=True)
        stack.callback(self.kill)
        with contextlib.suppress(SystemExit):
            wait_until("it listens", self.listens)
            return
        expect(f"{name} listens; it said {self.said().decode()}", False)

    def said(self):
        return Path(self.output.name).read_bytes()

    def nginx(self, text):
        (self.folder / "site.conf").write_text(text.replace("listen 443", f"listen 127.0.0.1:{self.port}"))
        # These stand outside of what is included.
        connections = 16 if "#few" in text else 768
        shutdown = "worker_shutdown_timeout 1s;" if "#shutdown" in text else ""
        user = "user root;" if os.geteuid() == 0 else ""
        temp = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = self.folder / "nginx.conf"
        config.write_text(
            f"{user} {shutdown} worker_processes 1; daemon off; pid {self.folder}/pid; error_log {self.folder}/log;\n"
            f"events {{ worker_connections {connections}; }}\nhttp {{ access_log off;\n{temp}include {self.folder}/site.conf; }}\n"
        )
        return config, ["nginx", "-c", str(config), "-e", f"{self.folder}/log"]

    def haproxy(self, text):
        config = self.folder / "haproxy.cfg"
        config.write_text(text.replace("bind :443", f"bind 127.0.0.1:{self.port}"))
        return config, ["haproxy", "-W", "-f", str(config)]

    def caddy(self, text):
        config = self.folder / "Caddyfile"
        mine = f"\tadmin unix/{self.folder}/admin\n\tskip_install_trust\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n"
        # Options for all sites stand in one block at the top.
        if "\n{\n" in text:
            text = text.replace("\n{\n", "\n{\n" + mine, 1)
        else:
            text = "{\n" + mine + "}\n" + text
        config.write_text(text.replace(f"\n{HOST} {{", f"\n{HOST}:{self.port} {{"))
        return config, ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]

    def listens(self):
        if self.process.poll() is not None:
            return False
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def point_at(self, port):
        """The server is another one now."""
        text = self.config_of_server.read_text()
        expect("the server stands in the configuration", f"127.0.0.1:{self.upstream}" in text)
        self.config_of_server.write_text(text.replace(f"127.0.0.1:{self.upstream}", f"127.0.0.1:{port}"))
        self.upstream = port
        self.reload()

    def reload(self):
        """Loads the configuration anew, as an operator does, and waits until the new one serves."""
        if self.name == "caddy":
            address = f"unix/{self.folder}/admin"
            # One that is the same as before is not loaded; there is an option for that.
            command = ["caddy", "reload", "--force", "--config", str(self.config), "--adapter", "caddyfile", "--address", address]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
            return
        before = self.children()
        # In its first moments haproxy's master loses the signal.
        for _ in range(10):
            self.process.send_signal(signal.SIGHUP if self.name == "nginx" else signal.SIGUSR2)
            if holds_within(lambda: self.children() - before):
                break
        expect("a new worker", self.children() - before)
        wait_until("it listens", self.listens)

    def children(self):
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return set(path.read_text().split())

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def tls(*protocols):
    context = ssl.create_default_context(cafile=f"{CERTIFICATES}/{HOST}.pem")
    context.set_alpn_protocols(protocols)
    return context


class Client:
    """A client over TLS and HTTP/1.1 that sees every byte."""

    def __init__(self, stack, proxy, target, more="", method="GET", accept="text/event-stream", body="", window=None):
        plain = socket.socket()
        if window:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        plain.settimeout(PATIENCE)
        plain.connect(("127.0.0.1", proxy.port))
        self.socket = tls("http/1.1").wrap_socket(plain, server_hostname=HOST)
        stack.callback(self.socket.close)
        self.text, self.ended = b"", None
        self.ask(target, more, method, accept, body)

    def ask(self, target, more="", method="GET", accept="text/event-stream", body=""):
        self.text = b""
        self.socket.sendall(f"{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nAccept: {accept}\r\n{more}\r\n{body}".encode())

    def has(self, pattern, seconds):
        """Whether it comes within this time."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text) and not self.ended:
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.socket.settimeout(left)
            try:
                chunk = self.socket.recv(65536)
            except TimeoutError:
                return False
            except OSError as error:
                self.ended = f"an error ({type(error).__name__})"
                return False
            if not chunk:
                self.ended = "a good end" if self.is_whole() else "an error (it stops in the middle)"
            self.text += chunk
        return bool(re.search(pattern, self.text))

    def is_whole(self):
        head, _, body = self.text.partition(b"\r\n\r\n")
        return b"chunked" not in head.lower() or body.endswith(b"0\r\n\r\n")

    def until(self, pattern, seconds=PATIENCE):
        start = time.monotonic()
        expect(f"{pattern} comes; got {self.text[-1000:]!r}, {self.ended}", self.has(pattern, seconds))
        return time.monotonic() - start

    def end(self, seconds=PATIENCE):
        """How its answer ends."""
        if self.has(rb"\r\n0\r\n\r\n$", seconds):
            return "a good end"
        expect(f"it ends within {seconds} s", self.ended)
        return self.ended.split(" (")[0]

    def close(self):
        self.socket.close()


class Curl:
    """curl over HTTP/2."""

    def __init__(self, stack, proxy, target):
        url = f"https://{HOST}:{proxy.port}{target}"
        command = ["curl", "-sSNi", "--http2", "--cacert", f"{CERTIFICATES}/{HOST}.pem", "--resolve", f"{HOST}:{proxy.port}:127.0.0.1", url]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        stack.callback(self.close)
        self.text = b""

    def until(self, pattern, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            expect(f"{pattern} comes over HTTP/2; got {self.text!r}", chunk)
            self.text += chunk

    def end(self, seconds=PATIENCE):
        self.process.communicate(timeout=seconds)
        return "a good end" if self.process.returncode == 0 else "an error"

    def close(self):
        self.process.kill()
        self.process.wait()


class Page:
    """A page in Chromium with ten streams."""

    def __init__(self, stack, proxy):
        cache = os.environ.get("SSE_CI_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sse-state-ci"
        command = ["node", str(ROOT / ".ci/js/behind.mjs"), HOST, str(proxy.port)]
        home = {"NODE_HOME": str(Path(cache) / "node"), **os.environ}
        self.process = subprocess.Popen(command, env=home, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(self.close)
        self.lines = []
        threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True).start()

    def count(self, line):
        return self.lines.count(f"{line}\n")

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)


class Spy:
    """An upstream that keeps the heads of requests and answers nothing of interest."""

    def __init__(self, stack):
        self.listener = socket.create_server(("127.0.0.1", 0))
        stack.callback(self.listener.close)
        self.port, self.heads = self.listener.getsockname()[1], []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection:
                    head = b""
                    while b"\r\n\r\n" not in head and (chunk := connection.recv(65536)):
                        head += chunk
                    if head:  # not one who only looks whether it listens
                        self.heads.append(head.decode())
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


class Scene:
    """A server with a proxy in front, both new."""

    def __init__(self, name, edits=(), **settings):
        self.stack = contextlib.ExitStack()
        self.name = name
        try:
            self.server = Server(self.stack, PROGRAM, **settings)
            self.proxy = Proxy(self.stack, name, self.server.port, edits)
        except BaseException:
            self.stack.close()
            raise

    def get(self, target, more="Connection: close\r\n", method="GET"):
        client = Client(self.stack, self.proxy, target, more, method)
        client.has(b"(?!)", PATIENCE)
        return client.text

    def post(self, more=""):
        """The status of a publish through the proxy."""
        client = Client(self.stack, self.proxy, "/news", f"Content-Length: 1\r\n{more}", "POST", accept="*/*", body="x")
        client.until(rb"^HTTP/1.1 \d\d\d")
        return client.text[9:12].decode()

    def open(self, target="/news", kind=Client, **more):
        client = kind(self.stack, self.proxy, target, **more)
        client.until(rb"(?s)\r\n\r\n.*:\n\n")
        return client

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()
