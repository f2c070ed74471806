from __future__ import annotations
def build_error(error, address, request, record): return error
def call_error(error, address): return error
