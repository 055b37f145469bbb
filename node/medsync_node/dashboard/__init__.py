"""The dashboard: pages over the node's own API for people with a browser, live, and usable without JavaScript.

What a page shows and does it asks the API for, with the scopes of whoever signed in; it reaches into nothing else.
`site.py` puts it together.
"""
