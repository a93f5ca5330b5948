"""The journal: entries, one entry with its postings, balances. Reads through the apis and owns nothing."""
