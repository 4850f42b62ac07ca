"""The command line: one module a command; options in, answers and exit codes out."""
