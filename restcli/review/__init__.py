"""A person judges events: pages of signal for the browser, the journal of verdicts, and what follows from them."""
