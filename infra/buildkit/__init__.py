"""BuildKit from Python: its gRPC API spoken directly, credentials served live, progress as plain values.

`client.BuildKit` is the client; nothing of protobuf or HTTP/2 shows in what goes into it and comes out.
"""
