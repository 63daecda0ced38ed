"""The server of a small run, for tests of the application."""

import socket
from pathlib import Path


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def opened(run: Path, *, port: int | None = None, users=()):
    """Start the server of a run."""
    from fashionprobe.app.rules import Door
    from fashionprobe.stages.app import serve

    root = run.parent.parent
    return serve(
        run, Door(port=port or free_port(), users=users), dataset=None, tfrecords_root=str(root / "tfrecords"),
        runs_root=str(root / "runs"),
    )  # fmt: skip
