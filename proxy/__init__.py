"""Penstock: a reverse proxy for servers of large language models."""
