"""Quality beside the peers: ``python -m benchmarks.quality``. See benchmarks/README.md."""
