"""The REST APIs of GitHub, GitLab, Gitea and Forgejo: releases of a repository, and release pull requests."""
