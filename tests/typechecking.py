"""Types and shapes are checked at every call while the tests run, in the modules named here.

Beartype checks; an int is a float to it too. Import this before any of the modules.
"""

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

MODULES = ["covrr_utils.retrieval"]

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))

install_import_hook(MODULES, f"{__name__}.checked")
