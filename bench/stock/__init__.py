"""How fast and how exactly units are sold under concurrency: ours beside the usual ways of doing it, in one run."""
