"""Broken and hostile files for every reader of restcli: ``python -m fuzz --minutes 10``, or ``make fuzz``."""
