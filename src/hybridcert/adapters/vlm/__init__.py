"""Models that read text and images together, and what stands between noise and their input."""
