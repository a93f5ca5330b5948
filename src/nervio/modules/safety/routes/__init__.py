"""The HTTP routes of safety, one file a concern: the emergency endpoints (`halts`)."""
