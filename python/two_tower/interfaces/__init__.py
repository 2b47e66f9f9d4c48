"""Doors for people and schedulers: command line, Prefect, dbt's plugin, the demo.

Imported by nobody: what two doors share belongs to the wing whose job it is.
"""
