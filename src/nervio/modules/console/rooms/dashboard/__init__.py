"""The day at a glance, and the stream that keeps every open page true. Reads through the apis and owns nothing."""
