"""The stop: asking for it without scripts, seeing what is in force, going on. Reads through the apis and owns nothing."""
