"""The targets of profiles.yml. Not in ``settings``, which imports slowly."""

from typing import Literal

Target = Literal["embedded", "postgres", "duckdb"]
