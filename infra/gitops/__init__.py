"""Where files of a GitOps repository name an image, and how they are changed without touching anything else."""
