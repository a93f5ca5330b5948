"""People and keys: who gets in, and with which role. Reads through the apis and owns nothing."""
