"""What an app imports: ``from two_tower.recommend import Recommender``."""

from two_tower.serving.answers import BecauseRow, Recommendation, Share, SimilarUser
from two_tower.serving.recommender import AsyncRecommender, Recommender

__all__ = [
    "AsyncRecommender",
    "BecauseRow",
    "Recommendation",
    "Recommender",
    "Share",
    "SimilarUser",
]
