"""Files in: reviews, a catalogue and users, from CSV to the schema ``raw``.

Provides: ``load``, the rules of text values, people who were forgotten (``suppression``), importers
of public data sets and sample data. Imports database, core.
"""
