"""The typed configuration: frozen models of every section, their checks, and the documents made from them."""
