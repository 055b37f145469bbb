"""The membership policies that come with MedSync, one a module. policy.py lists them."""
