"""The recipe: from feature tables to a run folder with two towers.

Hands on: ``train``. Reads features with ``training.data``, fits the experts of
``training.experts``, adds them up and places them.
Imports evaluation (metrics), artifacts, model, database, core.
"""
