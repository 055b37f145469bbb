"""The pages, one noun a file: each asks the API and fills a template."""
