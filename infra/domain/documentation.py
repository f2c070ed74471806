"""Where the documentation is: blocks, the command line and the README link to it (mkdocs.yml, `site_url`)."""

SITE = "https://docs.slipway.dev/"
"""Ends with a slash."""
