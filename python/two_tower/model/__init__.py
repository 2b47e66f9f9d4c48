"""Two linear towers, and the forms they have: layout, slots, linear map, ONNX.

Hands on: ``Layout``, ``Slots``, ``Towers``, ``LinearMap``, the ONNX graphs. Imports database
(feature rows), core.
"""
