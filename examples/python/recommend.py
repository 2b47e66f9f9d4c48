"""Recommendations for a user, with titles. DATABASE_URL=… python recommend.py USER_ID [LIMIT]"""

import os
import sys

from two_tower.recommend import Recommender

if len(sys.argv) < 2:
    sys.exit(__doc__)
user_id, limit = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
# A server makes one and keeps it: it is a pool of connections, for all threads.
with Recommender(database_url=os.environ["DATABASE_URL"]) as recommender:
    for video in recommender.recommend(user_id, limit):
        print(f"{video.rank:>3}  {video.score:.4f}  {video.title}  {video.product_url}")
