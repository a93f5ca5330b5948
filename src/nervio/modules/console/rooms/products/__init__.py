"""Products: the list, and creating and changing one. Reads through the apis and owns nothing."""
