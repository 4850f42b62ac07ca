"""Tables, curves and a page from a run directory."""
