"""Sources of releases: directories, git repositories and archives; and git as the store of versions.

`archive` stands for itself, because it brings the HTTP client, which few sources need.
"""
