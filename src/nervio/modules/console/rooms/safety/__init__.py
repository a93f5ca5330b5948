"""The stop panel and the calendar of drills. Reads through safety's api and owns nothing. Reachable while all is stopped."""
