"""One's own account: changing the password. Reads through the apis and owns nothing."""
