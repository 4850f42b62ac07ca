"""Attacks on smoothed classifiers: searches within a budget, and what fresh copies say about what they found."""
