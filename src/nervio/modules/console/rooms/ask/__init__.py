"""Asking AI a question: the form, and the way to the page on which the answer appears."""
