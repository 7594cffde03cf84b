"""Signal files in: one module a format, and the recording that they give."""
