"""What a run leaves and a server reads: run folders, the registry, exported models.

Hands on: storage and registry (files, S3), run folders and their versions, ``export``, the ONNX
encoder, ``load_model``. Imports model, database, core.
"""
