"""What the sales module's routes take and answer. Owns the shape of requests and answers, and holds no rule."""
