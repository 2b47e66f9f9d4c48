"""Entry points for people and schedulers: command line, HTTP, Prefect, dbt's plugin, demo.

No other wing imports this one: what two entry points share belongs to the wing whose job it is.
"""
