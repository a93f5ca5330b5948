"""Owns the revisions themselves, one file each, named by number; a released revision never changes again."""
