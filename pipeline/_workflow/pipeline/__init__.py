"""Stub of `pipeline` in the workflow folder of an installed package, which gives the folder the layout of a checkout.

Jobs find the package through PYTHONPATH. That cannot be the folder in which pip installed it, since the Python of a
conda environment would then import all other packages of that folder as well.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]
__path__ = [str(_PACKAGE)]
__file__ = str(_PACKAGE / "__init__.py")
exec(compile((_PACKAGE / "__init__.py").read_text(encoding="utf-8"), __file__, "exec"))
