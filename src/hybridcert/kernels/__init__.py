"""Smoothing noise, one kernel a module: its law, its sampler, its likelihood spectrum."""
