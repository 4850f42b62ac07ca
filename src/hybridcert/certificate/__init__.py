"""Pure mathematics: numbers in, guaranteed numbers out. No input or output, no randomness, no clock."""
