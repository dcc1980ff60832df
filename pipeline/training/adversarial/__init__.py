"""Adversarial losses. Each module offers `discriminator_loss(real, fake)` and `generator_loss(real, fake)`.

Both take the logits of the discriminator for real and generated patches, of any shape (one per patch or one per pixel),
and return a scalar. The caller of `discriminator_loss` keeps gradients from the generator; `generator_loss` propagates
no gradient through `real`.
"""
