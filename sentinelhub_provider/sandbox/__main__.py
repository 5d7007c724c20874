"""``python -m sentinelhub_provider.sandbox`` runs an embedded Sentinel Hub until it is stopped."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sentinelhub_provider.sandbox.gateway import extra
from sentinelhub_provider.sandbox.settings import (
    DEMO_CLIENT_ID,
    DEMO_CLIENT_SECRET,
    ClientSettings,
    SandboxSettings,
    is_loopback,
)

if TYPE_CHECKING:
    from sentinelhub_provider.sandbox.server import SandboxServer

PROGRAM = "python -m sentinelhub_provider.sandbox"
DEFAULT_PORT = 9080
EXIT_USAGE = 2
EXIT_CANNOT_LISTEN = 1
EXIT_WITHOUT_EXTRA = 3


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    defaults = SandboxSettings()
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="An embedded Sentinel Hub for trying, demos and tests. Needs no account and no network.",
    )
    add = parser.add_argument
    add("--host", default=defaults.host, help="address to listen on (default: %(default)s, this machine only)")
    add("--port", type=int, default=DEFAULT_PORT, help="TCP port, 0 for a free one (default: %(default)s)")
    add("--client-id", default=DEMO_CLIENT_ID, help="OAuth client id (default: %(default)s)")
    add("--client-secret", default=DEMO_CLIENT_SECRET, help="its secret (default: %(default)s)")
    add(
        "--client",
        action="append",
        default=[],
        type=_further_client,
        metavar="ID:SECRET",
        help="a further OAuth client; may be given more than once",
    )
    add(
        "--token-lifetime",
        type=float,
        default=defaults.token_lifetime,
        metavar="SECONDS",
        help="how long tokens are valid (default: %(default)s)",
    )
    add("--requests-per-minute", type=float, metavar="N", help="answer 429 beyond so many requests (default: no limit)")
    add("--processing-units-per-minute", type=float, metavar="N", help="likewise for processing units")
    add("--token-requests-per-minute", type=float, metavar="N", help="limit of the token endpoint (default: no limit)")
    add("--account", choices=("ok", "empty"), default="ok", help="'empty' answers 403 as an account without PU does")
    add("--latency", type=float, default=0.0, metavar="SECONDS", help="wait before every answer (default: %(default)s)")
    add("--scenes", type=Path, metavar="FOLDER", help="serve GeoTIFF files and STAC items instead of synthetic scenes")
    add("--delivery", metavar="WHERE", help="deliver jobs to this folder of buckets, or to this S3 endpoint (a URL)")
    add("--seed", type=int, default=0, help="another seed gives another world (default: %(default)s)")
    add("--control", action="store_true", help="mount /sandbox/control: counters, issued tokens, faults; for tests")
    add("--not-imitated", action="store_true", help="print what the sandbox does not imitate, and end")
    add("--quiet", action="store_true", help="do not write a line per request to stderr")
    return parser


def settings_from(options: argparse.Namespace) -> SandboxSettings:
    """Return the settings of a command line. A ``ValueError`` names the wrong one."""
    return SandboxSettings(
        host=options.host,
        port=options.port,
        client_id=options.client_id,
        client_secret=options.client_secret,
        account=options.account,
        further_clients=tuple(options.client),
        token_lifetime=options.token_lifetime,
        requests_per_minute=options.requests_per_minute,
        processing_units_per_minute=options.processing_units_per_minute,
        token_requests_per_minute=options.token_requests_per_minute,
        control=options.control,
        latency=options.latency,
        seed=options.seed,
        scenes=options.scenes,
        delivery=options.delivery,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Return the exit code."""
    stop = _StopOnSignal()
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.not_imitated:
        from sentinelhub_provider.sandbox.not_imitated import as_markdown

        print(as_markdown())
        return 0
    if lacking := extra.missing():
        print(f"{PROGRAM}: {', '.join(lacking)} not installed; install the extra: {extra.INSTALL}", file=sys.stderr)
        return EXIT_WITHOUT_EXTRA
    try:
        settings = settings_from(options)
    except ValueError as error:
        parser.error(str(error))
    _log_to_stderr(quiet=options.quiet)
    if not is_loopback(settings.host):
        warning = f"{settings.host} can be reached by other machines; the sandbox is not made for that"
        print(f"{PROGRAM}: {warning}", file=sys.stderr)

    from sentinelhub_provider.sandbox.server import SandboxServer, SandboxStartError

    server = SandboxServer(settings)
    stop.server = server
    if settings.scenes is not None:
        # This reports a bad folder now, and not with the first request.
        try:
            _ = server.sandbox.scenes
        except (ValueError, ModuleNotFoundError) as error:
            parser.error(f"--scenes: {error}")
    try:
        server.run(on_ready=lambda: _announce(server))
    except SandboxStartError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return EXIT_CANNOT_LISTEN
    return 0


class _StopOnSignal:
    """Ends the process cleanly on SIGTERM and SIGINT, even while it is still starting."""

    def __init__(self) -> None:
        self.server: SandboxServer | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, *_: object) -> None:
        if self.server is None or not self.server.started:
            raise SystemExit(0)
        self.server.request_stop()


def _announce(server: SandboxServer) -> None:
    credentials = f"client_id={server.client_id} client_secret={server.client_secret}"
    print(f"sentinelhub sandbox ready url={server.url} {credentials}", flush=True)
    threading.Thread(target=_warm_up, args=(server,), name="warm-up", daemon=True).start()


def _warm_up(server: SandboxServer) -> None:
    """Do the slow work of the first token and the first search in advance."""
    _ = server.sandbox.issuer.key.private
    # Without the extra, the sandbox still issues tokens. Requests for scenes name the missing packages.
    with contextlib.suppress(ModuleNotFoundError):
        server.sandbox.scenes.collections()


def _further_client(text: str) -> ClientSettings:
    client_id, colon, secret = text.partition(":")
    if not colon or not client_id or not secret:
        raise argparse.ArgumentTypeError(f"{text!r} is not ID:SECRET")
    return ClientSettings(client_id, secret)


def _log_to_stderr(*, quiet: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("sentinelhub_provider.sandbox")
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if quiet else logging.DEBUG)


if __name__ == "__main__":
    sys.exit(main())
