"""An institution's node: daemon, transport, store, API, dashboard and command line. Import what you need from its modules."""
