"""Which parts of which images an epoch shows: one file per source of windows."""
