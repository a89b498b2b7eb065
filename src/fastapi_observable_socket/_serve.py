"""
The command `serve`: uvicorn, with the defaults that suit a socket.

    python -m fastapi_observable_socket serve app:app --port 8080

What is typed is uvicorn's to read, and what goes wrong is uvicorn's to tell.
"""

import copy
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ._shown import tell

if TYPE_CHECKING:
    from typer import Typer

DEFAULTS: Final[dict[str, Any]] = {
    "ws": "fastapi_observable_socket.uvicorn:Protocol",
    "ws_max_size": 256 * 1024,
    "ws_ping_interval": 0,
    "ws_per_message_deflate": False,
}
"""Instead of uvicorn's own. The size is the router's `max_message_bytes`."""

HELP: Final = """Serve an application with uvicorn.

These are uvicorn's own options, and its environment variables count too. Only four defaults are
others, as sockets want them: --ws is the fast lane, --ws-max-size 262144,
--ws-ping-interval 0 and --ws-per-message-deflate false.

A router with a larger max_message_bytes needs as large a --ws-max-size.
"""

MISSING: Final = 2


def serve(arguments: Sequence[str]) -> NoReturn:
    """Run uvicorn with what was typed, and end the process as it does."""
    try:
        import websockets  # noqa: F401
        from uvicorn import main
    except ModuleNotFoundError as missing:
        tell(f"no module {missing.name!r}: install fastapi-observable-socket[uvicorn]")
        raise SystemExit(MISSING) from None
    command = copy.copy(main)
    command.help = HELP
    # As defaults and not as arguments: what stands in the environment goes before them, and
    # `--help` shows them.
    command.main(list(arguments), "fastapi-observable-socket serve", default_map=DEFAULTS)
    sys.exit()


def add_to(commands: "Typer") -> None:
    """Name the command where all of them are listed; the entry point runs it without typer."""
    import typer

    anything = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

    @commands.command("serve", context_settings=anything)
    def _serve(ctx: typer.Context) -> None:
        """Serve an application with uvicorn, on the fast lane."""
        serve(ctx.args)
