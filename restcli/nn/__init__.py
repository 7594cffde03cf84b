"""The network: configuration, definition, weights files, baselines that travel with them."""
