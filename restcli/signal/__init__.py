"""Arrays only: electrode names and derivations, resampling, features, quality of each second."""
