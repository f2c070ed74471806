"""File trees as BuildKit transfers them, and OCI image layouts."""
