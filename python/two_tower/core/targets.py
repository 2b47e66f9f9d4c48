"""The targets of profiles.yml, and the engines. Not in ``settings``, which imports slowly."""

from typing import Literal

Target = Literal["embedded", "postgres", "duckdb"]
Engine = Literal["local", "ray"]
