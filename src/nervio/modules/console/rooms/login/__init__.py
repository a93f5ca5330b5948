"""Getting in and out: the login page and the end of a session. Reads through the apis and owns nothing."""
