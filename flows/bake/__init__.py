"""Sets of images described by docker-bake.json and Compose files. Reading only, without Prefect."""
