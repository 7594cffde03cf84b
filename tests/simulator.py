"""What several tests of the simulator share."""

from __future__ import annotations

from dataclasses import replace

from restcli.simulate.chain import Chain, draw_chain
from restcli.simulate.waves import generator

SZCORE_TYPES = {
    "sz_foc",
    "sz_foc_ia",
    "sz_foc_ua_m",
    "sz_foc_f2b",
    "sz_gen_nm",
    "sz_gen_nm_typical",
    "sz_gen_nm_atypical",
    "sz_gen_m_tonicClonic",
    "sz_gen_m_tonic",
    "sz_gen_m_clonic",
    "sz_gen_m_spasms",
}


def plain_chain() -> Chain:
    """Return a chain without reference, filters and noise."""
    drawn = draw_chain(generator(0))
    return replace(
        drawn,
        reference="ideal",
        high_pass=0.0,
        low_pass=0.0,
        notch=0.0,
        mains=0.0,
        noise=0.0,
        missing=(),
        step=0.01,
        gain=1.0,
        mismatch=0.0,
        drift=0.0,
        tone=(0.0, 0.0),
        bridge=(),
    )
