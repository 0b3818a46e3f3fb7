"""Microsoft School Data Sync v2.1."""
