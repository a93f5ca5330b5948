"""Reactions of safety to facts of other modules, one file a concern: rules that look sooner (`rules`)."""
