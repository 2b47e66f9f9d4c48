"""The peers: each fits training likes and scores videos, and knows nothing of this project."""
