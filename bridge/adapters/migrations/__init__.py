"""How a database comes from one version's schema to the next; a revision that was released never changes."""
