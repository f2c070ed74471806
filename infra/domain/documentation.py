"""Where the documentation is: blocks, the command line and the README link to it (mkdocs.yml, `site_url`)."""

SITE = "https://docs.slipway.dev/latest/"
"""Of the newest version; each version has a folder of its own beside it. Ends with a slash."""

SCHEMA = f"{SITE}schema/slipway.schema.json"
"""Of the release file."""
