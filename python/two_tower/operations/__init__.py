"""Whole runs and their checks: pipeline, doctor, status, monitor.

Provides: the steps of ``pipeline``, ``doctor``, ``status``, ``monitor``, ``forget_user``.
Imports every wing but interfaces.
"""
