"""A denoiser in front of an image classifier: noise first, exactly as certified, then everything else."""

from hybridcert.denoising.diffusion import DiffusionDenoiser as DiffusionDenoiser
from hybridcert.denoising.front import Front as Front
from hybridcert.denoising.front import denoised as denoised
