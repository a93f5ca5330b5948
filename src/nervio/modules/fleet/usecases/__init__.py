"""How tasks come (`submitting`), are tried (`trying`) and are handed out (`dispatching`)."""
