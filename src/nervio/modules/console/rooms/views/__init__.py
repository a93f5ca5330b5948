"""Views of lists: saving and forgetting one, from the menu above the list. Reads through the apis and owns nothing."""
