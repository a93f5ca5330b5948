"""`python -m bench locks`: holders suspended past their lease wake up and write; and what a lock costs."""
