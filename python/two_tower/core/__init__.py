"""What every wing builds on: settings, errors, files, logs, progress.

Provides: ``Settings``, ``TrainConfig``, the errors with their exit codes, atomic files, background
work that can be cancelled, the URL of this project's Prefect server. Imports no other wing.
"""
