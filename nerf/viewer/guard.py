"""A viser server that only this machine, or a tunnel to it, can use.

viser binds to all addresses, tries other ports, answers pages of any origin and opens a public
tunnel for any browser that asks. Here the address is explicit, a port in use is an error, requests
of other origins are refused, and nothing is shared.
"""

import contextlib
import errno
import getpass
import http
import io
import socket
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from nerf.foundation.errors import UserError

LOCAL = ("127.0.0.1", "localhost", "::1")


def open_server(host: str, port: int, label: str) -> Any:
    """Start a viser server.

    Args:
      host: address to bind to.
      port: TCP port; 0 takes a free one.
      label: title of the panel.

    Raises:
      UserError: viser is missing, the address is not of this machine, or the port is in use.
    """
    viser = require_viser()
    check_port(host, port)
    # A browser that goes away while it is sent a picture is no news.
    warnings.filterwarnings("ignore", "Queued a .* on a closed connection")

    class Server(viser.ViserServer):
        """A server that is not shared through viser's public tunnel."""

        def request_share_url(self, verbose: bool = True) -> None:
            """Do nothing: a tunnel would show the run to everyone who knows its address."""

    with _guarded(host) as used, contextlib.redirect_stdout(io.StringIO()):
        server = Server(host=host, port=port, label=label, verbose=False)
    if not used:
        close_server(server)
        fix = "pip install 'viser>=1.1,<1.2'"
        raise UserError(f"viser {viser.__version__}: requests cannot be checked: {fix}")
    if port and server.get_port() != port:
        close_server(server)
        raise _in_use(host, port)
    return server


def require_viser() -> Any:
    """Import viser. Raise UserError, which names the extra, if it is missing."""
    try:
        import viser
    except ImportError as error:
        fix = "pip install 'nerf-compare[viewer]', or pip install viser"
        raise UserError(f"viser: not installed, and the viewer needs it: {fix}") from error
    return viser


def close_server(server: Any) -> None:
    """End a viser server, which prints a line of its own, and free its port."""
    with contextlib.redirect_stdout(io.StringIO()):
        server.stop()


def check_port(host: str, port: int) -> None:
    """Raise UserError if an address is not of this machine, or the port is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _in_use(host, port) from error
            reason = error.strerror or str(error)
            fix = "give an address of this machine and a port from 1024 on"
            raise UserError(f"--host={host} --port={port}: {reason}: {fix}") from error


def _in_use(host: str, port: int) -> UserError:
    fix = f"end the other program, or give another, as --port={port + 1}"
    return UserError(f"--port={port}: in use on {host}: {fix}")


def refusal(host: str, headers: Any) -> str:
    """Return why a request is refused, empty if it is not.

    A page of another origin must not talk to the viewer, nor a name of another server that was made
    to point here.

    Args:
      host: address that the server is bound to.
      headers: of the request: "Host", and "Origin" of a page's connection.
    """
    asked, origin = headers.get("Host", ""), headers.get("Origin")
    name = urlsplit(f"//{asked}").hostname or ""
    if host in LOCAL and name not in LOCAL:
        return f"{name}: not an address of this machine: open http://127.0.0.1"
    if origin is not None and urlsplit(origin).netloc != asked:
        return f"{origin}: another page cannot use the viewer"
    return ""


@contextlib.contextmanager
def _guarded(host: str) -> Iterator[list[bool]]:
    """Check the origin of all requests to servers that viser starts inside the context.

    viser has no option for that, so its function that starts a server is wrapped.

    Yields:
      A list that is not empty once a server was started with the check.
    """
    import websockets.asyncio.server as module

    serve: Any = module.serve
    used: list[bool] = []

    def serve_guarded(handler: Any, *args: Any, process_request: Any, **options: Any) -> Any:
        used.append(True)
        return serve(handler, *args, process_request=_checked(host, process_request), **options)

    module.serve = serve_guarded  # type: ignore[assignment]
    try:
        yield used
    finally:
        module.serve = serve  # type: ignore[assignment]


def _checked(host: str, process: Callable) -> Callable:
    """Return viser's `process_request` with a check before it."""

    def check(connection: Any, request: Any) -> Any:
        if reason := refusal(host, request.headers):
            return connection.respond(http.HTTPStatus.FORBIDDEN, f"{reason}\n")
        return process(connection, request)

    return check


def describe(host: str, port: int) -> list[str]:
    """Return lines that say how to open the viewer here and from another computer."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    lines = [f"viewer: http://{shown}:{port}"]
    if host in LOCAL:
        there = f"{getpass.getuser()}@{socket.gethostname()}"
        tunnel = f"ssh -L {port}:127.0.0.1:{port} {there}"
        lines.append(f"from another computer: {tunnel}, then open the address there")
    else:
        lines.append(f"warning: everyone who reaches {host}:{port} can use the viewer")
    return lines
