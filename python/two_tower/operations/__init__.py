"""A run from end to end, and whether all is well: pipeline, doctor, status, monitor.

Hands on: the steps of ``pipeline``, ``doctor``, ``status``, ``monitor``, ``forget_user``.
Imports every wing but interfaces.
"""
