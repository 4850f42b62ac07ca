"""Attacks on what a run certified: inside its certified budgets, where none may succeed, and beyond them."""
