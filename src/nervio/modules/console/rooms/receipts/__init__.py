"""Goods receipts: the list, and recording one by scan. Reads through the apis and owns nothing."""
