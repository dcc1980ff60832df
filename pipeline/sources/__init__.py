"""How files are brought here from the package index, a web server or this machine, and checked."""
