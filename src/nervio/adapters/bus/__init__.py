"""Event buses: in process today, one adapter a file."""
