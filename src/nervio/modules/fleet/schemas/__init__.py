"""Tasks, figures, limits and bills as requests and answers."""
