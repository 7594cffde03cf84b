"""Event tables in and out, and the layouts of published data sets."""
