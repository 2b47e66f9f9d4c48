"""Benchmarks: each prints ours and the limit beside it, measured in the same run, as a ratio."""
