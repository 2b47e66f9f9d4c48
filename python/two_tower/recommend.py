"""The name by which an app knows the recommender: ``two_tower.recommend.Recommender``."""

from two_tower.serving.recommender import Recommender

__all__ = ["Recommender"]
