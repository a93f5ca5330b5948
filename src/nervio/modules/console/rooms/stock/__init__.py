"""Stock: levels, one product's movements, lots and holds, and counting, adjusting and moving it. Reads through the apis and owns nothing."""
