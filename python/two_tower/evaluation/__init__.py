"""How good a model is, on held-out data: metrics, baselines, intervals, reports.

Hands on: ``evaluate``, ``compare_runs``, metrics and ranking. Imports artifacts, model, database,
core.
"""
