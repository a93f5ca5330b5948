"""Products from a CSV file: read, shown row by row against what there is, saved when confirmed. Reads through the apis and
owns nothing but the draft that waits for the confirmation."""
