"""Check a configuration and report all errors."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.config.load import check_files, read_run, read_yaml
from pipeline.errors import about

logger = logging.getLogger(__name__)


def check(config: Path, /) -> None:
    """Check a configuration and report all errors.

    Local files listed in the configuration must exist.

    Args:
        config: a configuration file (.yaml).
    """
    values = read_yaml(config)
    with about(str(config)):
        run = read_run(values, files=[config])
        check_files(run)
    logger.info("%s: valid; run %r, %d volumes", config, run.run, len(run.volumes))
