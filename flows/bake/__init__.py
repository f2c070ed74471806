"""Sets of images described by files that people have: docker-bake.json and Compose files. Pure reading, no Prefect."""
