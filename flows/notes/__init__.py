"""Release notes from commits: what to tell, how to write it, and a changelog that keeps it. Free of Prefect."""
