"""An image by digest into files of a git repository that a cluster follows."""
