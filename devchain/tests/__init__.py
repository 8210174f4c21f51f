"""Tests of the dev chain: .venv/bin/python -m unittest discover -s devchain/tests -t ."""
