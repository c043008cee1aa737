"""Diffusion as small functions: schedules of levels, objectives behind one denoiser `(x, level) -> x0`, losses,
samplers.

A level is the signal amplitude a of x_t = a x0 + s eps, with s = sqrt(1 - a^2) (`schedules.sigma`): 1 is clean, 0 is
pure noise. In the papers' symbols a = sqrt(abar). Levels are float64, indexed by the papers' t = 0..T with level[0] =
1; samplers walk a descending pick of them.
"""
