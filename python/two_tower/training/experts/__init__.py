"""The experts: linear maps from what is known of a user to scores of all videos."""
