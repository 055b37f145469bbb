"""Sheets for paper: an accounting of disclosures and the cover of an audit export, each one HTML file that needs nothing else.

A browser prints them or saves them as PDF; no engine for that is brought along. What stands in them is computed elsewhere.
"""
