"""Recommendations for a user, with titles. DATABASE_URL=… python recommend.py USER_ID [LIMIT]"""

import os
import sys

import psycopg

QUERY = """
select r.rank, r.score, v.title, v.thumbnail_url, v.product_url
from recommend_videos(%s, %s) as r
join two_tower.videos as v using (video_id)
order by r.rank
"""

user_id, limit = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20
# Nothing prepared: so it also works through a pooler that hands out transactions.
with psycopg.connect(os.environ["DATABASE_URL"], prepare_threshold=None) as connection:
    for rank, score, title, _thumbnail_url, product_url in connection.execute(
        QUERY, (user_id, limit)
    ):
        print(f"{rank:>3}  {score:.4f}  {title}  {product_url}")
