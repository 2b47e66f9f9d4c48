"""What every wing stands on: settings, errors, files, logs, progress.

Hands on: ``Settings``, ``TrainConfig``, the errors with their exit codes, atomic files, background
work that can be cancelled, the URL of this project's Prefect server. Imports no other wing.
"""
