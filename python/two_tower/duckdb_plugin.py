"""The name by which profiles.yml knows the plugin of dbt-duckdb."""

from two_tower.interfaces.dbt_plugin import Plugin

__all__ = ["Plugin"]
