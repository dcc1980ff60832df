"""Fidelity of restored images: consistency gate, inserted structures, uncertainty, tissue volumes, reader study."""
