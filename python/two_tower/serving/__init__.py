"""What an app reads: vectors in Postgres, released after an audit, and lists from them.

Hands on: ``embed``, ``release``, ``rollback``, ``refresh``, ``Recommender`` and the list of
versions. ``release_gate`` refuses a release. Imports training, artifacts, model, data, database,
core.
"""
