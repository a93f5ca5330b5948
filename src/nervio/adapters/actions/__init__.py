"""Platforms that run campaigns, behind one port. Owns no state but access tokens; promises outcomes instead of exceptions."""
