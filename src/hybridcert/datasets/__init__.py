"""Data that ships with the package or is read from files."""
