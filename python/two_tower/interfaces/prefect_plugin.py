"""A Prefect plugin: set-up for every Prefect process in this project's folder.

The entry point ``prefect.plugins`` names this module; ``pyproject.toml`` allows Prefect to load it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from prefect.plugins import HookContext, SetupResult, register_hook

from two_tower.core import loopback

# Without a server, these commands end in a traceback that does not mention a server.
NEED_A_SERVER = ("automation", "deploy", "deployment", "flow-run", "work-pool")


@register_hook
def setup_environment(*, ctx: HookContext) -> SetupResult | None:
    """Bypass the proxy for this machine's server; check that a server answers."""
    variables = loopback.without_proxy(os.environ)
    os.environ.update(variables)
    program, *arguments = sys.argv
    is_typed = Path(program).name == "prefect" and "--help" not in arguments
    if is_typed and arguments[:1] and arguments[0] in NEED_A_SERVER and ctx.api_url:
        from two_tower.core import prefect_server
        from two_tower.interfaces.failures import guarded

        api = ctx.api_url.rstrip("/")
        guarded(lambda: prefect_server.require(api))
    return SetupResult(env=variables) if variables else None
