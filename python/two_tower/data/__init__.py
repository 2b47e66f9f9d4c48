"""Files in: reviews, a catalogue and users, from CSV to the schema ``raw``.

Hands on: ``load``, what a text value is, who is not to be loaded again (``suppression``), importers
of public data sets and sample data. Imports database, core.
"""
