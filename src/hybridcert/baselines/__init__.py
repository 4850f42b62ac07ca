"""Rivals to compare certificates with, unsound ones included; every result says which it is."""
