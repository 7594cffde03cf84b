"""Pictures of recordings, events and training."""
