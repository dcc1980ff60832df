"""The literature behind the methods, numbered in the order in which a page cites it."""

from __future__ import annotations

from collections.abc import Mapping

LITERATURE: Mapping[str, str] = {
    "esrgan": "Wang X, Yu K, Wu S, Gu J, Liu Y, Dong C, Qiao Y, Loy CC. ESRGAN: enhanced super-resolution generative "
    "adversarial networks. ECCV Workshops, 2018. arXiv:1809.00219",
    "rician": "Gudbjartsson H, Patz S. The Rician distribution of noisy MRI data. Magnetic Resonance in Medicine "
    "34(6):910-914, 1995. doi:10.1002/mrm.1910340618",
    "n4": "Tustison NJ, Avants BB, Cook PA, Zheng Y, Egan A, Yushkevich PA, Gee JC. N4ITK: improved N3 bias "
    "correction. IEEE Transactions on Medical Imaging 29(6):1310-1320, 2010. doi:10.1109/TMI.2010.2046908",
    "adam": "Kingma DP, Ba J. Adam: a method for stochastic optimization. ICLR, 2015. arXiv:1412.6980",
    "bootstrap": "Politis DN, Romano JP. A circular block-resampling procedure for stationary data. In: LePage R, "
    "Billard L (eds). Exploring the Limits of Bootstrap. Wiley, 1992",
    "consistency": "Schlemper J, Caballero J, Hajnal JV, Price AN, Rueckert D. A deep cascade of convolutional neural "
    "networks for dynamic MR image reconstruction. IEEE Transactions on Medical Imaging 37(2):491-503, 2018. "
    "doi:10.1109/TMI.2017.2760978",
    "snakemake": "M\N{LATIN SMALL LETTER O WITH DIAERESIS}lder F, Jablonski KP, Letcher B, et al. Sustainable data "
    "analysis with Snakemake. F1000Research 10:33, 2021. doi:10.12688/f1000research.29032.2",
}


class Bibliography:
    """Numbers references as they are cited."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def cite(self, *keys: str) -> str:
        """Returns the mark of works of `LITERATURE`, such as " [2][3]" with a leading space."""
        return self.cite_text(*(LITERATURE[key] for key in keys))

    def cite_text(self, *texts: str) -> str:
        """Returns the mark of references given in words, such as those that come with data; empty ones are skipped."""
        marks = []
        for text in filter(None, texts):
            if text not in self._texts:
                self._texts.append(text)
            marks.append(f"[{self._texts.index(text) + 1}]")
        return f" {''.join(marks)}" if marks else ""

    @property
    def texts(self) -> list[str]:
        """The references in the order of their numbers."""
        return list(self._texts)
