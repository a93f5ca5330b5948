"""Ways on which alerts leave, behind one port. Own no state; promise receipts instead of exceptions."""
