"""What an app reads: vectors in Postgres, released after an audit, and lists from them.

Hands on: ``embed``, ``release``, ``rollback``, ``refresh``, ``Recommender``, the versions there
are. A release is refused in ``release_gate``. Imports training, artifacts, model,
data, database, core.
"""
