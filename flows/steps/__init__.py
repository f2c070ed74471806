"""The steps of a release, one file each: a Prefect task around a plain function, retried only where that can help."""
