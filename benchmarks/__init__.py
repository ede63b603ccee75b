"""Measurements, printed as JSON; see README.md. Nothing here is asserted in the tests."""
