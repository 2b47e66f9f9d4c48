"""The two engines, and dbt on them.

Provides: ``open_warehouse`` (DuckDB and Postgres behind one class), the embedded server, sessions,
locks, DDL, bulk inserts, the causes of a server's errors, ``dbt.run``. Imports core.
"""
