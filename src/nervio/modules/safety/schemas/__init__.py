"""The shape of requests and answers of safety, one file a concern: the emergency endpoints (`halts`)."""
