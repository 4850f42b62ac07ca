"""Where sampling is done: in this process, in worker processes, on a Ray cluster."""
