"""Two-tower video recommendations: dbt features, a two-tower model, pgvector serving."""

__version__ = "0.1.0"
