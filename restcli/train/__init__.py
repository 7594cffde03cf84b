"""From examples to weights: store, split, loop, validation, card."""
