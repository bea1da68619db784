"""The verbs as functions, one module each: what the command line and the Python API call."""
