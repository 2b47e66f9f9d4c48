"""Libraries that are trained beside ours."""
