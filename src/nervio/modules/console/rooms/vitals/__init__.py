"""The vital signs: what the nervous system of this process has done since it started."""
