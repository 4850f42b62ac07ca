"""Configured runs and demos: from a description to a run directory."""
