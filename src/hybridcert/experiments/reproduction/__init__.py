"""The paper's tables and figures, measured again on what is available here; one module for each of them."""
