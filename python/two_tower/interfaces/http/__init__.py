"""The calls of the database over HTTP, for back ends in any language: ``two-tower serve``."""
