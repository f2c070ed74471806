"""HTTP/2 and gRPC over asyncio, as client and as server."""
