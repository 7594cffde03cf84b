"""Which sensors of EGI's HydroCel nets lie at the places of the 10-20 system.

After Luu & Ferree, *Determination of the HydroCel Geodesic Sensor Nets' Average Electrode Positions and Their 10-10
International Equivalents*, Electrical Geodesics, 2005. Other nets of EGI number their sensors otherwise.
"""

from __future__ import annotations

import re

_NAMES = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T7 T8 P7 P8 Fz Cz Pz".split()
# Sensors in the order of the names; the vertex is the reference, which has the highest number.
_SENSORS = {
    "32": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 33, 19),
    "64": (10, 5, 12, 60, 20, 50, 28, 42, 35, 39, 18, 58, 24, 52, 30, 44, 6, 65, 34),
    "128": (22, 9, 24, 124, 36, 104, 52, 92, 70, 83, 33, 122, 45, 108, 58, 96, 11, 129, 62),
    "256": (37, 18, 36, 224, 59, 183, 87, 153, 116, 150, 47, 2, 69, 202, 96, 170, 21, 257, 101),
}


def electrodes_of(net: str) -> dict[str, str]:
    """Return the electrodes by the numbers of their sensors in a net; none where it is not known.

    >>> electrodes_of("HydroCel GSN 128 1.0")["22"], electrodes_of("Geodesic Sensor Net 128 2.1")
    ('Fp1', {})
    """
    found = re.fullmatch(r"HydroCel GSN (\d+) 1\.0", net.strip())
    return dict(zip(map(str, _SENSORS.get(found[1], ()) if found else ()), _NAMES, strict=False))
