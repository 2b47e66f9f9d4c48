"""What Prefect does first in this project's folder, also where ``prefect …`` is typed by hand.

The entry point ``prefect.plugins`` names this module, and ``pyproject.toml`` lets Prefect load it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from prefect.plugins import HookContext, SetupResult, register_hook

from two_tower.core import loopback

# Without a server these end in a traceback that names none.
NEED_A_SERVER = ("automation", "deploy", "deployment", "flow-run", "work-pool")


@register_hook
def setup_environment(*, ctx: HookContext) -> SetupResult | None:
    """Keep a proxy of the environment from this machine's server; see that there is a server."""
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
