"""Images of random contrast from label maps.

Every structure of a label map gets a random intensity, so that a network sees more contrasts than any scanner makes.
This is the idea of SynthSeg and SynthSR (Billot et al., Medical Image Analysis 86:102789, 2023; Iglesias et al.,
NeuroImage 237:118206, 2021). In contrast to SynthSR, the drawn image itself is the reference: the network sharpens it
and keeps its contrast.
"""
