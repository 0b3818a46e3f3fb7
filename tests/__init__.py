"""The tests; a package, so that it is found before the `tests` that PyPI oneroster leaves in site-packages."""
