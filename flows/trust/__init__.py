"""Trust in an image: signing it, attesting to it, verifying both. Free of Prefect."""
