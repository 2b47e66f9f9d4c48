"""Commands: HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from two_tower.interfaces.cli import common

commands = typer.Typer(rich_markup_mode=None)


@commands.command()
def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 is every one, and needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port.")] = 8000,
) -> None:
    """Answer the app's calls over HTTP, and show what the model does, until Ctrl-C.

    On this machine and without a key everybody may ask everything. With TWO_TOWER_API_KEYS a server
    of yours sends `Authorization: Bearer KEY`; with TWO_TOWER_JWT_SECRET or TWO_TOWER_JWT_JWKS
    users send their token, and ask for themselves. What is asked how: docs/http.md.
    The page at `/`: docs/explorer.md.

    Example: `two-tower serve`, then `curl 'localhost:8000/v1/popular_videos?limit=3'`
    """
    from two_tower.interfaces.http.serve import serve as run

    run(common.settings(), host, port)
