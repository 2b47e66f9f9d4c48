"""Entry points for people and schedulers: command line, Prefect, dbt's plugin, the demo.

No other wing imports this one: what two entry points share belongs to the wing whose job it is.
"""
