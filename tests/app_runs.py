"""The server of a small run, in a process of its own, for tests of the application."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import fashionprobe

PATIENCE = 120
"""Seconds that a server may take to start: it loads TensorFlow."""


class Server:
    """`fashionprobe app`, or `serve`, as a user starts it.

    Args:
        run: Folder of the run.
        options: Further words of the command.
        environment: Further environment.
        command: The command.
    """

    def __init__(
        self, run: Path, *options: str, environment: dict[str, str] | None = None, command: str = "app"
    ) -> None:
        self.run, self.options, self.environment, self.command = run, options, environment or {}, command
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/"

    def start(self) -> "Server":
        root = self.run.parent.parent
        words = [self.command, "--run", self.run.name, "--port", str(self.port), *self.options]
        words += ["--tfrecords-root", str(root / "tfrecords"), "--runs-root", str(root / "runs")]
        found = str(Path(fashionprobe.__file__).parents[1])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fashionprobe", *words],
            env=os.environ | {"PYTHONPATH": found, "PYTHONFAULTHANDLER": "1"} | self.environment,
        )
        started = time.monotonic()
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() - started < PATIENCE, "the server did not start"
            time.sleep(0.2)
        return self

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """End it as Ctrl-C does; return the exit code."""
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)  # says on stderr where each thread is
            raise

    def _answers(self) -> bool:
        try:
            return urllib.request.urlopen(self.url, timeout=5).status == 200
        except urllib.error.HTTPError:
            return self.command == "serve"  # 401: without the token
        except (urllib.error.URLError, OSError):
            return False


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
