"""Where the data lives: the targets of profiles.yml. Apart from the settings, which load slowly."""

from typing import Literal

Target = Literal["embedded", "postgres", "duckdb"]
