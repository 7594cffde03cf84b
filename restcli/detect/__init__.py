"""From a recording to scores and events."""
