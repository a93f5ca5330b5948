"""The first start: a demo shop or an empty one, chosen once. Reads through the apis and owns nothing."""
