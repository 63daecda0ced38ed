"""The rules of the server: who may come in, what may be uploaded and fetched, and that nothing leaves the machine."""

import atexit
import hmac
import ipaddress
import logging
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fashionprobe.app.data_uris import MAX_UPLOADED
from fashionprobe.errors import UserError, missing

log = logging.getLogger(__name__)

HERE = "127.0.0.1"
ENVIRONMENT = "FASHIONPROBE_AUTH"
"""Environment variable that may hold USER:PASSWORD."""

MIN_PASSWORD = 8

TOKEN = "FASHIONPROBE_TOKEN"
"""Environment variable that may hold the token of `serve`."""

MIN_TOKEN = 16

OFF = {
    "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1",
    "GRADIO_SHARE": "False", "GRADIO_MCP_SERVER": "False", "GRADIO_RUN_HISTORY": "False",
    # No proxy stands in front of this server: what a request says about one is made up.
    "FORWARDED_ALLOW_IPS": "", "GRADIO_ALLOWED_PATHS": "", "GRADIO_NUM_PORTS": "1", "GRADIO_SSR_MODE": "False",
    # The figures of a refit are drawn in a thread, where no window may be opened.
    "MPLBACKEND": "Agg",
}  # fmt: skip
"""Environment of Gradio, which reads it when it is imported: no telemetry, no look-ups on the web, no share links."""

USERS = "the path of a file with a line USER:PASSWORD"

LONGEST_PATH = 2000
API = "/gradio_api"
CLOSED = tuple(
    f"{API}/{name}"
    for name in ("proxy=", "api/", "run/", "call/", "dev/", "mcp", "stream", "vibe", "process_recording")
)
"""Routes of Gradio that the page does not use: one fetches from other servers, others call functions by name."""

GUARDS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"content-security-policy": b"; ".join((
        # Gradio starts with scripts and styles within the page, and builds functions from the scripts of components.
        b"default-src 'self'", b"script-src 'self' 'unsafe-inline' 'unsafe-eval'", b"style-src 'self' 'unsafe-inline'",
        b"img-src 'self' data: blob:", b"font-src 'self' data:", b"connect-src 'self'", b"worker-src 'self' blob:",
        b"object-src 'none'", b"base-uri 'self'", b"form-action 'self'", b"frame-ancestors 'none'",
    )),
}  # fmt: skip
"""Headers of each answer."""

UNREADABLE = (KeyError, IndexError, AttributeError, TypeError, ValueError, AssertionError)
"""What Gradio raises over a request that does not have the form it expects."""


@dataclass(frozen=True)
class Access:
    """Where the server listens, and who may connect.

    Attributes:
        host: Name or address of the network interface.
        port: Its port.
        users: User names and passwords; empty where everybody on this machine may come in.
        token: What each request to `serve` has to show; "" where everybody on this machine may ask.
    """

    host: str = HERE
    port: int = 7860
    users: tuple[tuple[str, str], ...] = ()
    token: str = field(default="", repr=False)

    @property
    def names(self) -> list[str]:
        """Return the names under which a browser may ask; of a page of another name no request is answered."""
        if not is_local(self.host):
            return ["*"]
        return ["127.0.0.1", "localhost", "[::1]", self.host]

    @property
    def url(self) -> str:
        """Return the address to ask at."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def quiet() -> None:
    """Turn off, for this process, what Gradio would say to other machines; call it before Gradio is imported.

    What is uploaded goes to a folder that nobody else can read, and that goes when this process ends.
    """
    os.environ.update(OFF)
    if "GRADIO_TEMP_DIR" not in os.environ:
        folder = tempfile.mkdtemp(prefix="fashionprobe-app-")
        os.environ["GRADIO_TEMP_DIR"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def is_local(host: str) -> bool:
    """Tell whether only this machine can reach an interface."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_access(host: str, port: int, auth: str | None, environment: Mapping[str, str] | None = None) -> Access:
    """Check where the server should listen, and read who may come in.

    Args:
        host: Name or address of the network interface.
        port: The port.
        auth: Path of a file with a line USER:PASSWORD for each user; None for the environment variable
            `FASHIONPROBE_AUTH`, or nobody.
        environment: The environment.

    Raises:
        UserError: If the port is not valid, the file cannot be read, a password is too short, or other machines could
            connect without one.
    """
    _check_port(port)
    words = (os.environ if environment is None else environment).get(ENVIRONMENT, "")
    users = _users(_secret("auth", auth, USERS).splitlines() if auth is not None else [words])
    if not users and not is_local(host):
        raise missing(
            "auth", f"--host {host} can be reached from other machines",
            f"Put USER:PASSWORD into a file and pass it as --auth FILE, or into the environment variable "
            f"{ENVIRONMENT}; or leave --host out and connect through ssh -L {port}:127.0.0.1:{port}.",
        )  # fmt: skip
    return Access(host, port, users)


def check_token(host: str, port: int, file: str | None, environment: Mapping[str, str] | None = None) -> Access:
    """Check where `serve` should listen, and read the token that a request has to show.

    Args:
        host: Name or address of the network interface.
        port: The port.
        file: Path of a file that holds the token; None for the environment variable `FASHIONPROBE_TOKEN`, or none.
        environment: The environment.

    Raises:
        UserError: If the port is not valid, the file cannot be read, the token is too short or holds what a header
            cannot, or other machines could connect without one.
    """
    _check_port(port)
    found = (os.environ if environment is None else environment).get(TOKEN, "")
    token = (found if file is None else _secret("token_file", file, "the path of a file with a token")).strip()
    if (token or file is not None) and not re.fullmatch(rf"[!-~]{{{MIN_TOKEN},}}", token):
        raise UserError(
            "token_file", expected=f"a file with one token of {MIN_TOKEN} characters or more: letters, digits, signs",
            received="another content" if file is not None else f"another content of {TOKEN}",
            remedy="Make one: python -c 'import secrets; print(secrets.token_urlsafe())'.",
        )  # fmt: skip
    if not token and not is_local(host):
        raise missing(
            "token_file", f"--host {host} can be reached from other machines",
            f"Put a token into a file and pass it as --token-file FILE, or into the environment variable {TOKEN}; or "
            f"leave --host out and connect through ssh -L {port}:127.0.0.1:{port}.",
        )  # fmt: skip
    return Access(host, port, token=token)


def need_free(access: Access) -> None:
    """Check that nobody listens there yet: before the minutes that a large run may take to open.

    Raises:
        UserError: If the port is taken, or there is no such interface.
    """
    listening(access).close()


def listening(access: Access) -> socket.socket:
    """Return a socket that listens there; who connects waits until somebody answers.

    Raises:
        UserError: If the port is taken, or there is no such interface.
    """
    tried = socket.socket(socket.AF_INET6 if ":" in access.host else socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":
        # A port that was just left is free; elsewhere this option would let two have it.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        tried.bind((access.host, access.port))
        tried.listen()
    except OSError as error:
        tried.close()
        raise UserError(
            "port", expected=f"free on {access.host}", received=f"{access.port} ({error.strerror or error})",
            remedy="Pass another --port.",
        ) from error  # fmt: skip
    return tried


def _check_port(port: int) -> None:
    if not 1 <= port <= 65535:
        raise UserError("port", expected="in 1 to 65535", received=port)


def _secret(argument: str, file: str, expected: str) -> str:
    """Return the content of a file of users, or of a token."""
    remedy = "A password on the command line could be read by everybody on this machine."
    if not Path(file).is_file():
        # Not repeated: it may be the password itself.
        raise UserError(argument, expected=expected, received="something that is not a file", remedy=remedy)
    path = Path(file)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise UserError(argument, expected="a file that only you can read", received=file, remedy=f"chmod 600 {file}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(argument, expected=expected, received=f"{file}, which is not text") from error


def _users(lines: list[str]) -> tuple[tuple[str, str], ...]:
    users = []
    for line in filter(None, (each.strip() for each in lines)):
        user, colon, password = line.partition(":")
        if not (user and colon and len(password) >= MIN_PASSWORD):
            expected = f"lines USER:PASSWORD, each password of {MIN_PASSWORD} characters or more"
            raise UserError("auth", expected=expected, received="a line that is not so")
        users.append((user, password))
    return tuple(users)


def options(access: Access, run: Path) -> dict[str, Any]:
    """Return what `gradio.Blocks.launch` has to be told.

    Args:
        access: Where the server listens.
        run: Folder of the run. No file of it is served: pictures go to the page inside of answers. It is blocked by
            name, too, because it may be in a folder that Gradio would serve.
    """
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    guards = [
        Middleware(Guard),
        Middleware(TrustedHostMiddleware, allowed_hosts=access.names),
        Middleware(SameOrigin),
    ]
    return {
        "server_name": access.host, "server_port": access.port, "auth": list(access.users) or None, "share": False,
        "max_file_size": MAX_UPLOADED, "allowed_paths": [], "blocked_paths": [str(run.resolve())],
        "strict_cors": True, "enable_monitoring": False, "pwa": False, "mcp_server": False, "ssr_mode": False,
        "run_history": False, "footer_links": [], "show_error": False, "quiet": True, "inbrowser": False,
        "app_kwargs": {"middleware": guards, "docs_url": None, "redoc_url": None, "openapi_url": None},
    }  # fmt: skip


class Guard:
    """Answers requests that nothing could mean with 4xx, hides what they claim about proxies, and guards the answers.

    Gradio builds the addresses of the page from `X-Forwarded-Host` and its like, and answers an upload without a file
    name, or an event that is not there, with 500.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on without headers of proxies; answer one that cannot be read with 400."""
        from starlette.responses import PlainTextResponse

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if not _is_of_a_proxy(name)]
        started = False

        async def answer(message: Any) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                kept = [each for each in message.get("headers", ()) if each[0].lower() not in GUARDS]
                message = {**message, "headers": [*kept, *GUARDS.items()]}
            await send(message)

        if problem := _refused(scope["path"]):
            await PlainTextResponse(*problem)(scope, receive, answer)
            return
        try:
            await self._app({**scope, "headers": headers}, receive, answer)
        except UNREADABLE as error:
            if started:
                raise
            log.warning("refused %s %.200r: %s: %.200s", scope["method"], scope["path"], type(error).__name__, error)
            await PlainTextResponse("This request cannot be read.", 400)(scope, receive, answer)


def _is_of_a_proxy(name: bytes) -> bool:
    return name.lower() == b"forwarded" or name.lower().startswith(b"x-")


def _refused(path: str) -> tuple[str, int] | None:
    """Return the answer to a path that leads nowhere, and its status."""
    if len(path) > LONGEST_PATH:
        return "This address is too long.", 414
    if not path.isprintable():
        return "This address cannot be read.", 400
    if path.startswith(CLOSED):
        return "Not found.", 404
    return None


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


class SameOrigin:
    """Refuses what another site's page would have the browser send here, such as a mask to be saved.

    Gradio keeps such a page from reading the answer, but it would act first.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or answer it with 403."""
        from starlette.responses import PlainTextResponse

        headers = {name.lower(): value for name, value in scope.get("headers", ())}
        origin, host = headers.get(b"origin", b"").decode("latin-1"), headers.get(b"host", b"").decode("latin-1")
        foreign = origin != "" and _netloc(origin) != host
        if scope["type"] == "http" and foreign and scope["method"] not in ("GET", "HEAD"):
            await PlainTextResponse("This page may only be used from its own address.", 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class BearerToken:
    """Answers requests that do not show the token with 401, before their body is read.

    Args:
        app: The application behind it.
        token: The token.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or answer it."""
        from starlette.responses import JSONResponse

        if scope["type"] == "http":
            scheme, _, shown = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
            # The time that this takes says nothing about how much of a guess is right.
            if not hmac.compare_digest(scheme.capitalize() + b" " + shown.strip(), self._expected):
                detail = {"detail": "The header `Authorization: Bearer TOKEN` is missing, or its token is another."}
                await JSONResponse(detail, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
                return
        await self._app(scope, receive, send)


class LimitedBody:
    """Answers requests with a larger body with 413, without reading it to its end.

    Args:
        app: The application behind it.
        most: Bytes at most.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or answer it."""
        from starlette.exceptions import HTTPException
        from starlette.responses import JSONResponse

        detail = f"`image` must be a file of {MAX_UPLOADED // 2**20} MB or less."
        told = dict(scope.get("headers", ())).get(b"content-length", b"")
        if told.isdigit() and int(told) > self._most:
            await JSONResponse({"detail": detail}, 413, {"Connection": "close"})(scope, receive, send)
            return
        read = 0

        async def limited() -> Any:
            # A body that comes in chunks does not say beforehand how long it is.
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise HTTPException(413, detail)
            return message

        await self._app(scope, limited, send)
