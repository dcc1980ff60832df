"""Adversarial losses. Each module offers `discriminator_loss(real, fake)` and `generator_loss(real, fake)`.

Both take the discriminator's logits for true and for generated patches, of any shape (one number a patch or one a
pixel), and return a scalar. The discriminator's loss is for logits of generated patches that carry no gradient to the
generator; no generator's loss sends a gradient through `real`.
"""
