"""What a run leaves and a server reads: run folders, the registry, exported models.

Hands on: ``Storage`` and ``Registry`` (a folder or a bucket), run folders and their versions,
``export``, the ONNX encoder, ``load_model``. Imports model, database, core.
"""
