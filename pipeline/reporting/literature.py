"""The literature behind the methods, numbered in the order in which a page cites it."""

from __future__ import annotations

from collections.abc import Mapping

LITERATURE: Mapping[str, str] = {
    "srgan": "Ledig C, Theis L, Husz\N{LATIN SMALL LETTER A WITH ACUTE}r F, Caballero J, Cunningham A, Acosta A, "
    "Aitken A, Tejani A, Totz J, Wang Z, Shi W. Photo-realistic single image super-resolution using a generative "
    "adversarial network. CVPR, 2017. arXiv:1609.04802",
    "esrgan": "Wang X, Yu K, Wu S, Gu J, Liu Y, Dong C, Qiao Y, Loy CC. ESRGAN: enhanced super-resolution generative "
    "adversarial networks. ECCV Workshops, 2018. arXiv:1809.00219",
    "real-esrgan": "Wang X, Xie L, Dong C, Shan Y. Real-ESRGAN: training real-world blind super-resolution with pure "
    "synthetic data. ICCV Workshops, 2021. arXiv:2107.10833",
    "ldl": "Liang J, Zeng H, Zhang L. Details or artifacts: a locally discriminative learning approach to realistic "
    "image super-resolution. CVPR, 2022. arXiv:2203.09195",
    "rician": "Gudbjartsson H, Patz S. The Rician distribution of noisy MRI data. Magnetic Resonance in Medicine "
    "34(6):910-914, 1995. doi:10.1002/mrm.1910340618",
    "n4": "Tustison NJ, Avants BB, Cook PA, Zheng Y, Egan A, Yushkevich PA, Gee JC. N4ITK: improved N3 bias "
    "correction. IEEE Transactions on Medical Imaging 29(6):1310-1320, 2010. doi:10.1109/TMI.2010.2046908",
    "adam": "Kingma DP, Ba J. Adam: a method for stochastic optimization. ICLR, 2015. arXiv:1412.6980",
    "bootstrap": "Politis DN, Romano JP. A circular block-resampling procedure for stationary data. In: LePage R, "
    "Billard L (eds). Exploring the Limits of Bootstrap. Wiley, 1992",
    "gmsd": "Xue W, Zhang L, Mou X, Bovik AC. Gradient magnitude similarity deviation: a highly efficient perceptual "
    "image quality index. IEEE Transactions on Image Processing 23(2):684-695, 2014. doi:10.1109/TIP.2013.2293423",
    "haarpsi": "Reisenhofer R, Bosse S, Kutyniok G, Wiegand T. A Haar wavelet-based perceptual similarity index for "
    "image quality assessment. Signal Processing: Image Communication 61:33-43, 2018. doi:10.1016/j.image.2017.11.001",
    "vif": "Sheikh HR, Bovik AC. Image information and visual quality. IEEE Transactions on Image Processing "
    "15(2):430-444, 2006. doi:10.1109/TIP.2005.859378",
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
        """Return the mark of works of `LITERATURE`, such as " [2][3]" with a leading space."""
        return self.cite_text(*(LITERATURE[key] for key in keys))

    def cite_text(self, *texts: str) -> str:
        """Return the mark of references given in words, such as those that come with data; empty ones are skipped."""
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
