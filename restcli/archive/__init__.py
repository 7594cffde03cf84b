"""A whole archive: walk, ledger, jobs, workers, index page."""
